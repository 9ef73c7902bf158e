//! Whether a file ends where a unit of its format ends. Formats that state their duration but not their
//! size leave open whether a shorter file was cut off, or its header is wrong: recorders and editors
//! write durations that do not come true, but only a lost end stops within a unit.

use crate::file::OpenFile;

/// Bytes at the end of a FLAC file that are searched for its last frame.
const FLAC_TAIL: u64 = 512 * 1024;
/// How many beginnings of FLAC frames are tried, from the end on.
const MAX_FRAMES: usize = 4;

/// True if a file that begins with `head` ends with a whole unit; false if it ends within one or its
/// format is not known here.
pub(crate) fn ends_whole(head: &[u8], file: &OpenFile) -> bool {
    if head.starts_with(b"FLV\x01") {
        return ends_with_flv_tag(file).unwrap_or(false);
    }
    if is_flac(head, file).unwrap_or(false) {
        let tail = read(file, file.size().saturating_sub(FLAC_TAIL), FLAC_TAIL);
        return ends_with_flac_frame(&tail);
    }
    false
}

/// True for FLAC, also behind a tag of ID3.
fn is_flac(head: &[u8], file: &OpenFile) -> Option<bool> {
    if !head.starts_with(b"ID3") {
        return Some(head.starts_with(b"fLaC"));
    }
    // Seven bits of each byte count, without the header.
    let size = head.get(6..10)?.iter().fold(0, |size, byte| (size << 7) | u64::from(byte & 0x7f));
    Some(read(file, size.saturating_add(10), 4) == b"fLaC")
}

fn read(file: &OpenFile, from: u64, length: u64) -> Vec<u8> {
    let length = usize::try_from(length.min(file.size().saturating_sub(from))).unwrap_or(0);
    let mut bytes = vec![0; length];
    let mut filled = 0_usize;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        let at = from.saturating_add(u64::try_from(filled).unwrap_or(u64::MAX));
        match file.read_at(rest, at) {
            Ok(0) | Err(_) => break,
            Ok(count) => filled = filled.saturating_add(count),
        }
    }
    bytes.truncate(filled);
    bytes
}

/// Each tag of FLV is followed by its size, which its header states too, without itself.
fn ends_with_flv_tag(file: &OpenFile) -> Option<bool> {
    const HEADER: u32 = 11;
    let end = file.size().checked_sub(4)?;
    let size = u32::from_be_bytes(read(file, end, 4).try_into().ok()?);
    let header = read(file, end.checked_sub(u64::from(size))?, u64::from(HEADER));
    let [kind, a, b, c, ..] = *header.first_chunk::<11>()?;
    let content = u32::from_be_bytes([0, a, b, c]);
    Some(matches!(kind & 0x1f, 8 | 9 | 18) && content.checked_add(HEADER) == Some(size))
}

/// True if a checksum over everything from the beginning of a frame on is right.
fn ends_with_flac_frame(tail: &[u8]) -> bool {
    // Tags of ID3v1 may follow.
    let tail = match tail.len().checked_sub(128).and_then(|at| tail.split_at_checked(at)) {
        Some((audio, tag)) if tag.starts_with(b"TAG") => audio,
        _ => tail,
    };
    let starts = (0..tail.len()).rev().filter_map(|at| tail.get(at..));
    let frames = starts.filter(|bytes| is_flac_header(bytes).unwrap_or(false));
    frames.take(MAX_FRAMES).any(|frame| crc(frame, 0x8005, 16) == 0)
}

/// True for the header of a FLAC frame with the right checksum.
fn is_flac_header(bytes: &[u8]) -> Option<bool> {
    let [0xff, 0xf8 | 0xf9, sizes, _, number, ..] = *bytes else { return Some(false) };
    // The number is encoded as in UTF-8, with up to seven bytes.
    let number = usize::try_from(number.leading_ones().max(1)).ok()?;
    let block = match sizes >> 4 {
        6 => 1,
        7 => 2,
        _ => 0,
    };
    let rate = match sizes & 15 {
        12 => 1,
        13 | 14 => 2,
        _ => 0,
    };
    let length = [4, number, block, rate, 1].into_iter().sum();
    Some(crc(bytes.get(..length)?, 0x07, 8) == 0)
}

/// A cyclic redundancy check of 8 or 16 bits without reflection; 0 over data with its checksum.
fn crc(bytes: &[u8], polynomial: u16, bits: u32) -> u16 {
    let top = 1_u16 << bits.saturating_sub(1);
    let mask = top | top.wrapping_sub(1);
    bytes.iter().fold(0_u16, |sum, byte| {
        let sum = sum ^ (u16::from(*byte) << bits.saturating_sub(8));
        (0..8).fold(sum, |sum, _| {
            let shifted = (sum << 1) & mask;
            if sum & top == 0 { shifted } else { shifted ^ polynomial }
        })
    })
}

#[cfg(test)]
mod tests {
    use std::{io::Write, process::Command};

    use super::*;

    fn made(arguments: &str) -> Vec<u8> {
        let source = "-v error -f lavfi -i sine=d=2";
        let made = Command::new("ffmpeg")
            .args(source.split(' ').chain(arguments.split(' ')))
            .arg("-")
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        made.stdout
    }

    fn is_whole(bytes: &[u8]) -> bool {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        ends_whole(&bytes[..16], &OpenFile::from(file))
    }

    #[test]
    fn files_that_end_with_a_unit_are_told_from_those_that_end_within_one() {
        for arguments in ["-c:a flac -f flac", "-ar 44100 -c:a mp3 -f flv"] {
            let bytes = made(arguments);
            assert!(is_whole(&bytes), "{arguments}");
            for cut in [1, 2, 100, bytes.len() / 2] {
                assert!(!is_whole(&bytes[..bytes.len() - cut]), "{arguments}: {cut}");
            }
        }
    }

    #[test]
    fn a_tag_after_the_last_frame_is_no_part_of_it() {
        let tag = [b"TAG".as_slice(), &[0; 125]].concat();
        assert!(is_whole(&[made("-c:a flac -f flac"), tag].concat()));
    }

    #[test]
    fn a_tag_before_the_first_frame_is_skipped() {
        let tag = b"ID3\x03\x00\x00\x00\x00\x01\x02".as_slice();
        assert!(is_whole(&[tag, &[0; 130], &made("-c:a flac -f flac")].concat()));
    }

    #[test]
    fn other_formats_are_not_known() {
        assert!(!is_whole(&made("-c:a pcm_s16le -f wav")));
    }
}
