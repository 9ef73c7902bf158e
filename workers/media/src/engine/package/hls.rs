//! RFC 8216 playlists.

use std::fmt::Write as _;

use ffapi_domain::media::Hdr;

use super::{Captioned, Packaged, PackagedKind};

/// The playlist of playlists.
pub(in crate::engine) fn master(
    streams: &[Packaged],
    captions: &[Captioned],
    iframes: bool,
) -> String {
    let mut text = String::from("#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n\n");
    let audio: Vec<&Packaged> = streams.iter().filter(|stream| !stream.is_video()).collect();
    let video: Vec<&Packaged> = streams.iter().filter(|stream| stream.is_video()).collect();
    for (number, stream) in audio.iter().enumerate() {
        let PackagedKind::Audio { language, name, channels, .. } = &stream.kind else { continue };
        let language = language.as_ref().map(|word| format!("LANGUAGE=\"{word}\","));
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
    let sound = audio.iter().max_by_key(|stream| stream.peak());
    let groups = format!(
        "{}{}",
        if audio.is_empty() || video.is_empty() { "" } else { ",AUDIO=\"audio\"" },
        if captions.is_empty() { "" } else { ",SUBTITLES=\"captions\"" },
    );
    let listed = if video.is_empty() { audio.iter().take(1).copied().collect() } else { video };
    for stream in listed {
        let with = sound.filter(|_| stream.is_video());
        let codecs = match with {
            Some(sound) => format!("{},{}", stream.codecs, sound.codecs),
            None => stream.codecs.clone(),
        };
        let _ = writeln!(
            text,
            "\n#EXT-X-STREAM-INF:BANDWIDTH={},AVERAGE-BANDWIDTH={},CODECS=\"{codecs}\"{}{groups}\n\
             {}/index.m3u8",
            stream.peak().saturating_add(with.map_or(0, |sound| sound.peak())),
            stream.average().saturating_add(with.map_or(0, |sound| sound.average())),
            size(stream, true),
            stream.folder,
        );
        if iframes && stream.is_video() {
            let _ = writeln!(
                text,
                "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH={},CODECS=\"{}\"{},URI=\"{}/iframes.m3u8\"",
                key_peak(stream),
                stream.codecs,
                size(stream, false),
                stream.folder,
            );
        }
    }
    text
}

fn size(stream: &Packaged, rated: bool) -> String {
    let PackagedKind::Video { width, height, rate, hdr } = stream.kind else {
        return String::new();
    };
    let rate = if rated && rate > 0.0 { format!(",FRAME-RATE={rate:.3}") } else { String::new() };
    // Without a word a player takes it for one of standard range.
    let range = match hdr {
        None => "",
        Some(Hdr::Pq) => ",VIDEO-RANGE=PQ",
        Some(Hdr::Hlg) => ",VIDEO-RANGE=HLG",
    };
    format!(",RESOLUTION={width}x{height}{rate}{range}")
}

fn key_peak(stream: &Packaged) -> u64 {
    stream.peak_of(|segment| segment.key.unwrap_or(0))
}

fn head(stream: &Packaged) -> String {
    let longest = stream.segments.iter().map(|segment| segment.duration).fold(0.0, f64::max);
    let longest = longest.round().max(1.0);
    format!(
        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:{longest}\n#EXT-X-MEDIA-SEQUENCE:0\n\
         #EXT-X-PLAYLIST-TYPE:VOD\n"
    )
}

fn map(stream: &Packaged) -> &'static str {
    if stream.extension == "m4s" { "#EXT-X-MAP:URI=\"init.mp4\"\n" } else { "" }
}

/// One stream's segments.
pub(in crate::engine) fn media(stream: &Packaged, encrypted: bool) -> String {
    let mut text = head(stream);
    text.push_str("#EXT-X-INDEPENDENT-SEGMENTS\n");
    // What stands before the key is in the clear.
    text.push_str(map(stream));
    if encrypted {
        text.push_str("#EXT-X-KEY:METHOD=AES-128,URI=\"../key.bin\"\n");
    }
    for (number, segment) in stream.segments.iter().enumerate() {
        let _ = writeln!(text, "#EXTINF:{:.6},\n{}", segment.duration, stream.file(number));
    }
    text.push_str("#EXT-X-ENDLIST\n");
    text
}

/// One stream's keyframes, for looking through it fast.
pub(in crate::engine) fn iframes(stream: &Packaged) -> String {
    let mut text = head(stream);
    text.push_str("#EXT-X-I-FRAMES-ONLY\n");
    text.push_str(map(stream));
    for (number, segment) in stream.segments.iter().enumerate() {
        let Some(key) = segment.key else { continue };
        let _ = writeln!(
            text,
            "#EXTINF:{:.6},\n#EXT-X-BYTERANGE:{key}@0\n{}",
            segment.duration,
            stream.file(number)
        );
    }
    text.push_str("#EXT-X-ENDLIST\n");
    text
}

/// A text's only segment.
pub(in crate::engine) fn captions_playlist(duration: f64) -> String {
    format!(
        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:{}\n#EXT-X-MEDIA-SEQUENCE:0\n\
         #EXT-X-PLAYLIST-TYPE:VOD\n#EXTINF:{duration:.6},\ncaptions.vtt\n#EXT-X-ENDLIST\n",
        duration.ceil().max(1.0)
    )
}
