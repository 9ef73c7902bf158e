use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use super::{JobView, OutputFile};
use crate::JobId;

/// The outputs of a completed job that pages and players start from, by name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PlaybackOutputs<'a> {
    /// What a player opens: an HLS playlist, a DASH manifest or a media file.
    pub playback: Option<&'a str>,
    /// The DASH manifest, if there is one.
    pub dash: Option<&'a str>,
    /// An image that is shown before playback starts.
    pub poster: Option<&'a str>,
    /// The WebVTT index of preview images along the timeline.
    pub sprite: Option<&'a str>,
    /// The file, if the job has a single one besides its subtitles.
    pub download: Option<&'a str>,
}

/// The same with names of its own: what the summary of a job keeps of its outputs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PlaybackNames {
    #[serde(skip_serializing_if = "Option::is_none")]
    playback: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    poster: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sprite: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    download: Option<String>,
}

impl PlaybackNames {
    /// Among the outputs that the service stores.
    pub(super) fn of(outputs: &[OutputFile]) -> Self {
        let PlaybackOutputs { playback, dash, poster, sprite, download } =
            PlaybackOutputs::of(outputs);
        let owned = |name: Option<&str>| name.map(str::to_owned);
        Self {
            playback: owned(playback),
            dash: owned(dash),
            poster: owned(poster),
            sprite: owned(sprite),
            download: owned(download),
        }
    }

    /// Forgets an output that was deleted.
    pub(super) fn remove(&mut self, deleted: &str) {
        let Self { playback, dash, poster, sprite, download } = self;
        for name in [playback, dash, poster, sprite, download] {
            *name = name.take().filter(|name| name != deleted);
        }
    }

    /// The names.
    pub fn outputs(&self) -> PlaybackOutputs<'_> {
        PlaybackOutputs {
            playback: self.playback.as_deref(),
            dash: self.dash.as_deref(),
            poster: self.poster.as_deref(),
            sprite: self.sprite.as_deref(),
            download: self.download.as_deref(),
        }
    }
}

/// Characters that are escaped in the path of a URL: all but RFC 3986's unreserved ones and the
/// separator.
const PATH_ESCAPES: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// The name of an output as in URLs.
pub fn output_url_name(name: &str) -> String {
    utf8_percent_encode(name, PATH_ESCAPES).to_string()
}

/// The path of an output in the API.
pub fn output_path(job: JobId, name: &str) -> String {
    format!("/api/v1/jobs/{job}/outputs/{}", output_url_name(name))
}

const MEDIA: [&str; 14] = [
    "mp4", "m4v", "mov", "webm", "mkv", "ogv", "mp3", "m4a", "aac", "ogg", "oga", "opus", "wav",
    "flac",
];
const IMAGES: [&str; 6] = ["jpg", "jpeg", "png", "webp", "gif", "avif"];

fn extension(name: &str) -> String {
    name.rsplit_once('.').map_or_else(String::new, |(_, extension)| extension.to_ascii_lowercase())
}

impl JobView {
    /// The outputs that pages and players start from; none once they are deleted or erased, or if they were
    /// put at URLs.
    pub fn playback(&self) -> PlaybackOutputs<'_> {
        if self.summary.outputs_expired_at.is_some() {
            return PlaybackOutputs::default();
        }
        PlaybackOutputs::of(&self.outputs)
    }
}

impl<'a> PlaybackOutputs<'a> {
    fn of(outputs: &'a [OutputFile]) -> Self {
        let stored = outputs.iter().filter(|output| !output.is_put());
        let names = stored.filter_map(|output| output.name.as_ref());
        Self::among(names.map(String::as_str))
    }

    fn among(names: impl Iterator<Item = &'a str>) -> Self {
        // The files of renditions are in folders.
        let names: Vec<&str> = names.filter(|name| !name.contains('/')).collect();
        let first = |wanted: &dyn Fn(&str) -> bool| names.iter().copied().find(|name| wanted(name));
        let hls = first(&|name| name == "master.m3u8");
        let hls = hls.or_else(|| first(&|name| extension(name) == "m3u8"));
        let dash = first(&|name| extension(name) == "mpd");
        let mut others = names.iter().copied().filter(|name| extension(name) != "vtt");
        let download = match (others.next(), others.next()) {
            (Some(only), None) if hls.or(dash).is_none() => Some(only),
            _ => None,
        };
        let is_image = |name: &str| IMAGES.contains(&extension(name).as_str());
        let poster = first(&|name| is_image(name) && name.starts_with("poster."));
        Self {
            playback: hls
                .or(dash)
                .or(download.filter(|name| MEDIA.contains(&extension(name).as_str()))),
            dash,
            poster: poster
                .or_else(|| first(&|name| is_image(name) && !name.starts_with("sprite-"))),
            sprite: first(&|name| name == "sprite.vtt"),
            download,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn among<'a>(names: &[&'a str]) -> PlaybackOutputs<'a> {
        PlaybackOutputs::among(names.iter().copied())
    }

    #[test]
    fn a_stream_is_played_by_its_manifests() {
        let names = ["v/s1.m4s", "poster.jpg", "sprite-1.jpg", "sprite.vtt", "manifest.mpd"];
        let of_stream = PlaybackOutputs {
            playback: Some("manifest.mpd"),
            dash: Some("manifest.mpd"),
            poster: Some("poster.jpg"),
            sprite: Some("sprite.vtt"),
            download: None,
        };
        assert_eq!(among(&names), of_stream);
        let with_hls = [&names[..], &["a.m3u8", "master.m3u8"]].concat();
        let playback = Some("master.m3u8");
        assert_eq!(among(&with_hls), PlaybackOutputs { playback, ..of_stream });
    }

    #[test]
    fn a_converted_file_is_played_and_downloaded() {
        let file = PlaybackOutputs {
            playback: Some("a.mp4"),
            download: Some("a.mp4"),
            ..PlaybackOutputs::default()
        };
        assert_eq!(among(&["a.mp4", "a.eng.vtt"]), file);
        assert_eq!(among(&["a.mp4", "b.mp4"]), PlaybackOutputs::default());
    }

    #[test]
    fn a_deleted_output_is_forgotten() {
        let mut names = PlaybackNames {
            playback: Some("a.mp4".to_owned()),
            poster: Some("poster.jpg".to_owned()),
            download: Some("a.mp4".to_owned()),
            ..PlaybackNames::default()
        };
        names.remove("a.mp4");
        let left = PlaybackOutputs { poster: Some("poster.jpg"), ..PlaybackOutputs::default() };
        assert_eq!(names.outputs(), left);
    }

    #[test]
    fn names_of_any_characters_are_in_urls() {
        assert_eq!(output_url_name("720p/a b#1?é%.mp4"), "720p/a%20b%231%3F%C3%A9%25.mp4");
    }

    #[test]
    fn an_image_is_a_poster_and_a_sprite_is_not() {
        assert_eq!(among(&["grid.png"]).poster, Some("grid.png"));
        assert_eq!(among(&["grid.png"]).playback, None);
        let sprite = among(&["sprite-1.jpg", "sprite.vtt"]);
        assert_eq!((sprite.poster, sprite.sprite), (None, Some("sprite.vtt")));
    }
}
