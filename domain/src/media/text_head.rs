//! Detects text subtitles by their first bytes, in any encoding that has a byte order mark or keeps ASCII.

use super::magic::{Magic, kind};

const WEBVTT: Magic = kind("WebVTT", &["vtt"], &["webvtt"]);
const ASS: Magic = kind("ASS", &["ass", "ssa"], &["ass"]);
const SUBRIP: Magic = kind("SubRip", &["srt"], &["srt"]);
const SAMI: Magic = kind("SAMI", &["smi", "sami"], &["sami"]);
const MICRODVD: Magic = kind("MicroDVD", &["sub"], &["microdvd"]);
const SUBVIEWER: Magic = kind("SubViewer", &["sbv"], &["subviewer", "subviewer1"]);
const MPL2: Magic = kind("MPL2", &["mpl"], &["mpl2"]);
const LYRICS: Magic = kind("LRC", &["lrc"], &["lrc"]);

/// The formats of text subtitles.
pub(super) const TEXT_FORMATS: [Magic; 8] =
    [WEBVTT, ASS, SUBRIP, SAMI, MICRODVD, SUBVIEWER, MPL2, LYRICS];

/// The demuxers of all subtitle files, in FFmpeg's syntax.
pub fn subtitle_demuxers() -> String {
    let text = TEXT_FORMATS.iter().flat_map(|magic| magic.demuxers.iter().copied());
    text.chain(["mov", "mp4", "matroska", "webm"]).collect::<Vec<_>>().join(",")
}

/// The format of text subtitles that start with these bytes.
pub(super) fn text_subtitles(head: &[u8]) -> Option<Magic> {
    let text = decode(head)?;
    let text = text.trim_start_matches(|c: char| c == '\u{feff}' || c.is_whitespace());
    if text.contains('\0') {
        return None;
    }
    let lower = text.get(..text.len().min(64)).unwrap_or(text).to_ascii_lowercase();
    let mut lines = text.split(['\n', '\r']).filter(|line| !line.is_empty());
    let (first, second) = (lines.next()?.trim(), lines.next().unwrap_or_default().trim());
    let is_number = first.parse::<u32>().is_ok();
    if text.starts_with("WEBVTT") {
        Some(WEBVTT)
    } else if text.starts_with("[Script Info]") {
        Some(ASS)
    } else if (is_number && second.contains("-->")) || starts_with_time_range(first) {
        Some(SUBRIP)
    } else if lower.starts_with("<sami") {
        Some(SAMI)
    } else if is_pair(first, '{', '}') {
        Some(MICRODVD)
    } else if is_pair(first, '[', ']') {
        Some(MPL2)
    } else if text.starts_with("[INFORMATION]") {
        Some(SUBVIEWER)
    } else if is_lyrics(first) {
        Some(LYRICS)
    } else {
        None
    }
}

/// The text so far: UTF-16 by its byte order mark, or what is UTF-8 and ASCII of another encoding.
fn decode(head: &[u8]) -> Option<String> {
    let utf16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units = bytes.chunks_exact(2).filter_map(|pair| Some(unit(pair.try_into().ok()?)));
        char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
    };
    match head {
        [0xff, 0xfe, rest @ ..] => Some(utf16(rest, u16::from_le_bytes)),
        [0xfe, 0xff, rest @ ..] => Some(utf16(rest, u16::from_be_bytes)),
        _ => {
            // Binary files have other control characters than these.
            let is_text = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\r' | 0x20..);
            head.iter().all(is_text).then(|| String::from_utf8_lossy(head).into_owned())
        }
    }
}

/// A cue of `SubRip` without its number.
fn starts_with_time_range(line: &str) -> bool {
    line.split_once("-->").is_some_and(|(start, _)| {
        start.contains(':') && start.chars().all(|c| c.is_ascii_digit() || " :,.".contains(c))
    })
}

/// Two numbers in brackets, such as `{0}{25}`.
fn is_pair(line: &str, open: char, close: char) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let mut parts = line.splitn(3, close);
    let mut is_number = || {
        let part = parts.next().and_then(|part| part.strip_prefix(open));
        part.is_some_and(number)
    };
    is_number() && is_number()
}

/// A time such as `[00:12.34]`, or a tag of lyrics.
fn is_lyrics(line: &str) -> bool {
    let Some((inside, _)) = line.strip_prefix('[').and_then(|rest| rest.split_once(']')) else {
        return false;
    };
    let is_time = inside.split_once(':').is_some_and(|(minutes, seconds)| {
        let digits = |text: &str| {
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        };
        digits(minutes) && digits(seconds)
    });
    is_time || ["ti:", "ar:", "al:", "by:"].iter().any(|tag| inside.starts_with(tag))
}
