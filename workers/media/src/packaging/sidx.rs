//! The segment index (`sidx`, ISO/IEC 14496-12) of a rendition in a single file: players of DASH read
//! from it where each segment is. Its space is reserved before the number of segments is known.

use super::segment::Segment;
use crate::units::micros;

/// Size of the box without its entries, and of an entry.
const FIXED: usize = 40;
const ENTRY: usize = 12;
/// Header of a `free` box, which fills the rest of the reserved space.
const FREE: usize = 8;
/// The box counts its entries in 16 bits.
const MAX_ENTRIES: usize = 65_535;
/// The largest entry, in bytes of the file.
const MAX_ENTRY_BYTES: u64 = 0x7fff_ffff;

/// The bytes to reserve for about so many segments.
pub(super) fn reserved(segments: usize) -> usize {
    FIXED.saturating_add(segments.min(MAX_ENTRIES).saturating_mul(ENTRY)).saturating_add(FREE)
}

/// Reserved space of this size: a `free` box.
pub(super) fn placeholder(space: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(space);
    bytes.extend_from_slice(&u32::try_from(space).unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend_from_slice(b"free");
    bytes.resize(space, 0);
    bytes
}

/// The index of the segments that follow the reserved space, and a `free` box for the rest of it. Adjacent segments share
/// an entry if the space is too small for one each.
pub(super) fn filled(segments: &[Segment], space: usize) -> Vec<u8> {
    let slots = space.saturating_sub(FIXED).saturating_sub(FREE) / ENTRY;
    let group = segments.len().div_ceil(slots.clamp(1, MAX_ENTRIES)).max(1);
    let entries: Vec<(u64, f64)> = segments
        .chunks(group)
        .map(|chunk| {
            let bytes = chunk.iter().map(|segment| segment.size).sum();
            (bytes, chunk.iter().map(|segment| segment.duration).sum())
        })
        .collect();
    let size = FIXED.saturating_add(entries.len().saturating_mul(ENTRY));
    let rest = space.saturating_sub(size);
    let mut bytes = Vec::with_capacity(space);
    let mut number = |value: u64, width: usize| {
        let all = value.to_be_bytes();
        bytes.extend_from_slice(all.get(8_usize.saturating_sub(width)..).unwrap_or_default());
    };
    number(size as u64, 4);
    number(u64::from(u32::from_be_bytes(*b"sidx")), 4);
    // Version 1: the two numbers that follow the timescale have 64 bits.
    number(0x0100_0000, 4);
    number(1, 4);
    number(1_000_000, 4);
    number(0, 8);
    number(rest as u64, 8);
    number(0, 2);
    number(entries.len() as u64, 2);
    for (size, duration) in entries {
        number(size.min(MAX_ENTRY_BYTES), 4);
        number(micros(duration), 4);
        // It starts with a keyframe: a stream access point of type 1.
        number(0x9000_0000, 4);
    }
    bytes.extend(placeholder(rest));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(size: u64) -> Segment {
        Segment { duration: 6.0, size, offset: 0, keyframe_size: None }
    }

    #[test]
    fn the_index_fills_its_space_and_has_an_entry_for_each_segment() {
        let space = reserved(5);
        let bytes = filled(&[segment(100), segment(200)], space);
        assert_eq!((bytes.len(), placeholder(space).len()), (space, space));
        assert_eq!((&bytes[4..8], bytes[31 + 7]), (&b"sidx"[..], 0));
        let count = u16::from_be_bytes([bytes[38], bytes[39]]);
        let sizes =
            [&bytes[40..44], &bytes[52..56]].map(|b| u32::from_be_bytes(b.try_into().unwrap()));
        assert_eq!((count, sizes), (2, [100, 200]));
        let free = usize::try_from(u32::from_be_bytes(bytes[64..68].try_into().unwrap())).unwrap();
        assert_eq!((64 + free, &bytes[68..72]), (space, &b"free"[..]));
    }

    #[test]
    fn neighbours_share_an_entry_if_there_are_more_segments_than_expected() {
        let space = reserved(2);
        let bytes = filled(&[segment(1), segment(2), segment(4)], space);
        let sizes =
            [&bytes[40..44], &bytes[52..56]].map(|b| u32::from_be_bytes(b.try_into().unwrap()));
        assert_eq!((bytes.len(), sizes), (space, [3, 4]));
    }
}
