use super::OutputFile;
use crate::media::{Spent, VideoCodec};

/// The codec that a job's outputs are counted under: that of the first video that is no poster, else of the
/// first track; `none` without one.
///
/// The files of a stream are segments, which are not described one by one: its codec is that of the
/// work.
pub fn main_codec<'a>(outputs: &'a [OutputFile], spent: Option<&Spent>) -> &'a str {
    let streams = || outputs.iter().flat_map(|output| &output.streams);
    let is_image = |codec: &str| matches!(codec, "mjpeg" | "png" | "webp");
    let videos = || streams().filter(|stream| stream.kind == "video");
    let video = videos().find(|stream| !is_image(&stream.codec)).map(|video| video.codec.as_str());
    let of_renditions = || {
        let class = spent?.effort.class.strip_prefix("stream-")?;
        let name = class.split('-').next()?;
        VideoCodec::of_stream(name).map(VideoCodec::as_str)
    };
    let first = || videos().next().or_else(|| streams().next()).map(|track| track.codec.as_str());
    video.or_else(of_renditions).or_else(first).unwrap_or("none")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Personal, job::StreamSummary, media::Effort};

    fn output(tracks: &[(&str, &str)]) -> OutputFile {
        let stream = |(kind, codec): &(&str, &str)| StreamSummary {
            kind: (*kind).to_owned(),
            codec: (*codec).to_owned(),
            width: None,
            height: None,
            fps: None,
            channels: None,
            sample_rate: None,
        };
        OutputFile {
            name: Personal::Clear("a".to_owned()),
            location: Personal::Clear("a".to_owned()),
            size: 1,
            sha256: String::new(),
            duration: None,
            streams: tracks.iter().map(stream).collect(),
        }
    }

    fn spent(class: &str) -> Spent {
        let effort = Effort { class: class.to_owned(), ..Effort::of_probe() };
        Spent { effort, seconds: 1.0, bytes: 1, cpu_seconds: None }
    }

    #[test]
    fn outputs_are_counted_under_the_codec_of_their_video() {
        let (video, audio, poster) = (("video", "h264"), ("audio", "aac"), ("video", "mjpeg"));
        for (tracks, class, expected) in [
            (&[audio, video][..], "h264-medium", "h264"),
            (&[audio], "sound-aac", "aac"),
            (&[poster], "thumbnails-count", "mjpeg"),
            (&[], "probe", "none"),
            // The only described file of a stream is its poster.
            (&[poster], "stream-hevc-fast", "hevc"),
            (&[], "stream-h264-veryfast", "h264"),
            (&[], "stream-sound", "none"),
        ] {
            let outputs = [output(&[]), output(tracks)];
            assert_eq!(main_codec(&outputs, Some(&spent(class))), expected, "{class}");
        }
    }
}
