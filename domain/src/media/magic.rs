//! Detects the format of a file by its magic bytes: only formats that the media engine reads, and
//! only at the offsets where each format has them.

/// A file format that is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Magic {
    /// Name for messages.
    pub name: &'static str,
    /// Usual file name extensions, without the dot.
    pub extensions: &'static [&'static str],
}

/// Number of leading bytes to pass, if the file has as many.
pub const MAGIC_BYTES: usize = 1_024;

/// Every file name extension with a known format.
pub const EXTENSIONS: &[&str] = &[
    "mp4", "m4v", "m4a", "mov", "3gp", "mkv", "mka", "webm", "avi", "wav", "webp", "flv", "ts",
    "m2ts", "mts", "mpg", "mpeg", "vob", "mp3", "aac", "ogg", "oga", "ogv", "opus", "flac", "gif",
    "png", "jpg", "jpeg", "bmp", "tif", "tiff", "srt", "ass", "ssa", "vtt", "mxf", "wmv", "wma",
    "asf", "h264", "264", "hevc", "265", "ac3", "eac3", "ivf", "aif", "aiff", "caf",
];

const fn kind(name: &'static str, extensions: &'static [&'static str]) -> Magic {
    Magic { name, extensions }
}

const MP4: Magic = kind("MP4 or QuickTime", &["mp4", "m4v", "m4a", "mov", "3gp"]);
const MATROSKA: Magic = kind("Matroska or WebM", &["mkv", "mka", "webm"]);
const OGG: Magic = kind("Ogg", &["ogg", "oga", "ogv", "opus"]);
const MPEG_TS: Magic = kind("MPEG transport stream", &["ts", "m2ts", "mts"]);
const MPEG_PS: Magic = kind("MPEG program stream", &["mpg", "mpeg", "vob"]);
const MPEG_AUDIO: Magic = kind("MP3", &["mp3"]);
const ADTS: Magic = kind("AAC", &["aac"]);
const RAW_VIDEO: Magic = kind("raw H.264 or HEVC", &["h264", "264", "hevc", "265"]);
const TIFF: Magic = kind("TIFF", &["tif", "tiff"]);

/// Magic bytes at offset 0.
const MAGIC_AT_START: &[(&[u8], Magic)] = &[
    (b"\x1a\x45\xdf\xa3", MATROSKA),
    (b"FLV\x01", kind("Flash video", &["flv"])),
    (b"\x00\x00\x01\xba", MPEG_PS),
    (b"\x00\x00\x01\xb3", MPEG_PS),
    (b"ID3", kind("MP3", &["mp3", "aac"])),
    (b"OggS", OGG),
    (b"fLaC", kind("FLAC", &["flac"])),
    (b"GIF87a", kind("GIF", &["gif"])),
    (b"GIF89a", kind("GIF", &["gif"])),
    (b"\x89PNG\r\n\x1a\n", kind("PNG", &["png"])),
    (b"\xff\xd8\xff", kind("JPEG", &["jpg", "jpeg"])),
    (b"BM", kind("BMP", &["bmp"])),
    (b"\x06\x0e\x2b\x34", kind("MXF", &["mxf"])),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", kind("Windows Media", &["wmv", "wma", "asf"])),
    (b"\x00\x00\x00\x01", RAW_VIDEO),
    (b"\x00\x00\x01", RAW_VIDEO),
    (b"\x0b\x77", kind("AC-3", &["ac3", "eac3"])),
    (b"DKIF", kind("IVF", &["ivf"])),
    (b"caff", kind("CAF", &["caf"])),
    (b"II*\x00", TIFF),
    (b"MM\x00*", TIFF),
];

/// Boxes that an MP4 or QuickTime file can start with.
const BOXES: [&[u8]; 7] = [b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"];

/// The format of a file that starts with these bytes; `None` if the engine does not read it.
pub fn magic(head: &[u8]) -> Option<Magic> {
    let at = |from: usize, len: usize| head.get(from..from.saturating_add(len));
    if at(4, 4).is_some_and(|kind| BOXES.contains(&kind)) {
        return Some(MP4);
    }
    if at(0, 4) == Some(b"FORM") && matches!(at(8, 4), Some(b"AIFF" | b"AIFC")) {
        return Some(kind("AIFF", &["aif", "aiff"]));
    }
    if at(0, 4) == Some(b"RIFF") || at(0, 4) == Some(b"RF64") {
        return match at(8, 4)? {
            b"AVI " => Some(kind("AVI", &["avi"])),
            b"WAVE" => Some(kind("WAV", &["wav"])),
            b"WEBP" => Some(kind("WebP", &["webp"])),
            _ => None,
        };
    }
    let first =
        MAGIC_AT_START.iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, magic)| *magic);
    first
        .or_else(|| transport_stream(head))
        .or_else(|| audio_frames(head))
        .or_else(|| text_subtitles(head))
}

/// Sync bytes at every packet start: 188 bytes apart, or 192 with a timestamp before each packet.
fn transport_stream(head: &[u8]) -> Option<Magic> {
    let synced = |from: usize, apart: usize| {
        let begins: Vec<_> = (from..head.len()).step_by(apart).take(4).collect();
        !begins.is_empty() && begins.iter().all(|at| head.get(*at) == Some(&0x47))
    };
    let long = head.len() >= 376;
    (long && (synced(0, 188) || synced(4, 192))).then_some(MPEG_TS)
}

/// MPEG audio or AAC frames without a header before them.
fn audio_frames(head: &[u8]) -> Option<Magic> {
    let (first, second) = (*head.first()?, *head.get(1)?);
    let (layer, version) = ((second >> 1) & 3, (second >> 3) & 3);
    match (first, second & 0xe0) {
        (0xff, 0xe0) if second & 0xf6 == 0xf0 => Some(ADTS),
        (0xff, 0xe0) if layer != 0 && version != 1 => Some(MPEG_AUDIO),
        _ => None,
    }
}

/// Text subtitles.
fn text_subtitles(head: &[u8]) -> Option<Magic> {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    // The end may be in the middle of a UTF-8 sequence.
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(head.get(..error.valid_up_to())?).ok()?,
    };
    let text = text.trim_start();
    if text.contains('\0') {
        return None;
    }
    if text.starts_with("WEBVTT") {
        return Some(kind("WebVTT", &["vtt"]));
    }
    if text.starts_with("[Script Info]") {
        return Some(kind("ASS", &["ass", "ssa"]));
    }
    let mut lines = text.lines();
    let number = lines.next().is_some_and(|line| line.trim().parse::<u32>().is_ok());
    let times = lines.next().is_some_and(|line| line.contains("-->"));
    (number && times).then_some(kind("SubRip", &["srt"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_detected_by_their_magic_bytes() {
        let ts: Vec<u8> = (0..800_u32).map(|n| if n % 188 == 0 { 0x47 } else { 0 }).collect();
        for (head, name) in [
            (b"\x00\x00\x00\x20ftypisom".as_slice(), "MP4 or QuickTime"),
            (b"\x1a\x45\xdf\xa3...", "Matroska or WebM"),
            (b"RIFF\x00\x00\x00\x00AVI LIST", "AVI"),
            (b"RIFF\x00\x00\x00\x00WAVEfmt ", "WAV"),
            (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "WebP"),
            (b"ID3\x04", "MP3"),
            (b"\xff\xfb\x90\x00", "MP3"),
            (b"\xff\xf1\x50\x80", "AAC"),
            (b"OggS\x00", "Ogg"),
            (b"\x89PNG\r\n\x1a\n", "PNG"),
            (&ts, "MPEG transport stream"),
            (b"\xef\xbb\xbfWEBVTT\n", "WebVTT"),
            (b"1\n00:00:01,000 --> 00:00:02,000\nHi", "SubRip"),
            (b"[Script Info]\n", "ASS"),
        ] {
            assert_eq!(magic(head).map(|magic| magic.name), Some(name));
        }
    }

    #[test]
    fn magic_bytes_elsewhere_are_ignored() {
        for head in [
            b"".as_slice(),
            b"MZ\x90\x00....ftyp",
            b"\x7fELF",
            b"PK\x03\x04 OggS",
            b"#!/bin/sh\nfLaC",
            b"<html>WEBVTT",
            b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n",
            b"ffconcat version 1.0\nfile /etc/passwd",
            b"RIFF\x00\x00\x00\x00EVIL",
            b"\x00\x00\x00\x20evil",
            b"hello",
            &[0; 1_024],
        ] {
            assert_eq!(magic(head), None, "{head:?}");
        }
    }

    #[test]
    fn every_extension_of_a_format_is_known() {
        let all = MAGIC_AT_START.iter().map(|(_, magic)| *magic).chain([MP4, MPEG_TS, ADTS]);
        assert!(all.flat_map(|magic| magic.extensions).all(|name| EXTENSIONS.contains(name)));
    }
}
