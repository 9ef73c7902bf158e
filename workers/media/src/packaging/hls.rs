//! HLS playlists (RFC 8216).

use std::fmt::Write as _;

use ffapi_domain::media::{Hdr, SegmentFormat};

use super::{CaptionTrack, Packaged, PackagedKind};

/// Whether the master playlist lists the playlists of keyframes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyframePlaylists {
    Listed,
    Omitted,
}

/// The master (multivariant) playlist.
pub(crate) fn master(
    streams: &[Packaged],
    captions: &[CaptionTrack],
    keyframes: KeyframePlaylists,
) -> String {
    let mut text = String::from("#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n\n");
    let audio: Vec<&Packaged> = streams.iter().filter(|stream| !stream.is_video()).collect();
    let video: Vec<&Packaged> = streams.iter().filter(|stream| stream.is_video()).collect();
    for (number, stream) in audio.iter().enumerate() {
        let PackagedKind::Audio { language, name, channels, .. } = &stream.kind else { continue };
        let language = language.as_ref().map(|tag| format!("LANGUAGE=\"{tag}\","));
        let default = if number == 0 { "YES" } else { "NO" };
        let _ = writeln!(
            text,
            "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"{name}\",{}DEFAULT={default},\
             AUTOSELECT=YES,CHANNELS=\"{channels}\",URI=\"{}/index.m3u8\"",
            language.unwrap_or_default(),
            stream.folder,
        );
    }
    for caption in captions {
        let _ = writeln!(
            text,
            "#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"captions\",NAME=\"{}\",LANGUAGE=\"{}\",\
             DEFAULT=NO,AUTOSELECT=YES,URI=\"{}/index.m3u8\"",
            caption.name, caption.language, caption.folder
        );
    }
    let peak_audio = audio.iter().max_by_key(|stream| stream.peak());
    let groups = format!(
        "{}{}",
        if audio.is_empty() || video.is_empty() { "" } else { ",AUDIO=\"audio\"" },
        if captions.is_empty() { "" } else { ",SUBTITLES=\"captions\"" },
    );
    let listed = if video.is_empty() { audio.iter().take(1).copied().collect() } else { video };
    for stream in listed {
        let paired = peak_audio.filter(|_| stream.is_video());
        let codecs = match paired {
            Some(audio) => format!("{},{}", stream.codecs, audio.codecs),
            None => stream.codecs.clone(),
        };
        let _ = writeln!(
            text,
            "\n#EXT-X-STREAM-INF:BANDWIDTH={},AVERAGE-BANDWIDTH={},CODECS=\"{codecs}\"{}{}{}{groups}\n\
             {}/index.m3u8",
            stream.peak().saturating_add(paired.map_or(0, |audio| audio.peak())),
            stream.average().saturating_add(paired.map_or(0, |audio| audio.average())),
            resolution(stream),
            frame_rate(stream),
            video_range(stream),
            stream.folder,
        );
        if keyframes == KeyframePlaylists::Listed && stream.is_video() {
            let _ = writeln!(
                text,
                "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH={},CODECS=\"{}\"{}{},URI=\"{}/iframes.m3u8\"",
                keyframe_peak(stream),
                stream.codecs,
                resolution(stream),
                video_range(stream),
                stream.folder,
            );
        }
    }
    text
}

/// The attribute for the size of a video; empty for audio.
fn resolution(stream: &Packaged) -> String {
    let size = stream.size();
    size.map_or_else(String::new, |(width, height)| format!(",RESOLUTION={width}x{height}"))
}

/// The attribute for the frame rate of a video; empty if it is unknown.
fn frame_rate(stream: &Packaged) -> String {
    match stream.kind {
        PackagedKind::Video { rate, .. } if rate > 0.0 => format!(",FRAME-RATE={rate:.3}"),
        PackagedKind::Video { .. } | PackagedKind::Audio { .. } => String::new(),
    }
}

/// The attribute for the dynamic range of a video; the default is standard dynamic range.
const fn video_range(stream: &Packaged) -> &'static str {
    match stream.kind {
        PackagedKind::Video { hdr: Some(Hdr::Pq), .. } => ",VIDEO-RANGE=PQ",
        PackagedKind::Video { hdr: Some(Hdr::Hlg), .. } => ",VIDEO-RANGE=HLG",
        PackagedKind::Video { hdr: None, .. } | PackagedKind::Audio { .. } => "",
    }
}

/// The peak bitrate of the keyframes only.
fn keyframe_peak(stream: &Packaged) -> u64 {
    stream.peak_of(|segment| segment.keyframe_size.unwrap_or(0))
}

fn head(stream: &Packaged) -> String {
    let longest = stream.segments.iter().map(|segment| segment.duration).fold(0.0, f64::max);
    let longest = longest.round().max(1.0);
    format!(
        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:{longest}\n#EXT-X-MEDIA-SEQUENCE:0\n\
         #EXT-X-PLAYLIST-TYPE:VOD\n"
    )
}

fn map(stream: &Packaged) -> String {
    if stream.format == SegmentFormat::Ts {
        return String::new();
    }
    if stream.is_single_file() {
        let (file, size) = (stream.file(0), stream.head.init);
        return format!("#EXT-X-MAP:URI=\"{file}\",BYTERANGE=\"{size}@0\"\n");
    }
    "#EXT-X-MAP:URI=\"init.mp4\"\n".to_owned()
}

/// The media playlist of a stream; `key` is the URI of the key of encrypted segments.
pub(crate) fn media(stream: &Packaged, key: Option<&str>) -> String {
    let mut text = head(stream);
    text.push_str("#EXT-X-INDEPENDENT-SEGMENTS\n");
    // What is listed before the key is not encrypted.
    text.push_str(&map(stream));
    if let Some(uri) = key {
        let _ = writeln!(text, "#EXT-X-KEY:METHOD=AES-128,URI=\"{uri}\"");
    }
    for (number, segment) in stream.segments.iter().enumerate() {
        let _ = writeln!(text, "#EXTINF:{:.6},", segment.duration);
        if stream.is_single_file() {
            let _ = writeln!(text, "#EXT-X-BYTERANGE:{}@{}", segment.size, segment.offset);
        }
        let _ = writeln!(text, "{}", stream.file(number));
    }
    text.push_str("#EXT-X-ENDLIST\n");
    text
}

/// The I-frame playlist of a stream, for fast forward and seeking previews.
pub(crate) fn iframes(stream: &Packaged) -> String {
    let mut text = head(stream);
    text.push_str("#EXT-X-I-FRAMES-ONLY\n");
    text.push_str(&map(stream));
    for (number, segment) in stream.segments.iter().enumerate() {
        let Some(size) = segment.keyframe_size else { continue };
        let _ = writeln!(
            text,
            "#EXTINF:{:.6},\n#EXT-X-BYTERANGE:{size}@{}\n{}",
            segment.duration,
            segment.offset,
            stream.file(number)
        );
    }
    text.push_str("#EXT-X-ENDLIST\n");
    text
}

/// The media playlist of a caption track, which has a single segment.
pub(crate) fn captions_playlist(duration: f64) -> String {
    format!(
        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:{}\n#EXT-X-MEDIA-SEQUENCE:0\n\
         #EXT-X-PLAYLIST-TYPE:VOD\n#EXTINF:{duration:.6},\ncaptions.vtt\n#EXT-X-ENDLIST\n",
        duration.ceil().max(1.0)
    )
}
