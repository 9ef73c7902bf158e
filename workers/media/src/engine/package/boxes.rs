//! The few ISO boxes that we look into.

/// Each box's kind, and its bytes with the header; stops at what is no box.
pub(super) fn boxes(mut bytes: &[u8]) -> Vec<([u8; 4], &[u8])> {
    let mut found = Vec::new();
    while let Some((size, kind)) = header(bytes) {
        let Some((one, rest)) = bytes.split_at_checked(size) else { break };
        found.push((kind, one));
        bytes = rest;
    }
    found
}

fn header(bytes: &[u8]) -> Option<(usize, [u8; 4])> {
    let size = usize::try_from(number(bytes, 0)?).ok()?;
    let kind = bytes.get(4..8)?.try_into().ok()?;
    (size >= 8).then_some((size, kind))
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// Splits what a muxer wrote at its beginning: the initialization, and the first segment.
pub(super) fn split_at_moov(bytes: &[u8]) -> (usize, bool) {
    let mut at = 0_usize;
    for (kind, one) in boxes(bytes) {
        at = at.saturating_add(one.len());
        if kind == *b"moov" {
            return (at, true);
        }
    }
    (0, false)
}

/// Bytes from a segment's beginning to the end of its first sample: what a player needs to show
/// the keyframe alone.
pub(super) fn first_sample_end(segment: &[u8]) -> Option<u64> {
    let mut before = 0_usize;
    let mut first = None;
    for (kind, one) in boxes(segment) {
        match &kind {
            b"moof" => first = first_sample_size(one),
            b"mdat" => {
                let end = before.checked_add(8)?.checked_add(usize::try_from(first?).ok()?)?;
                return u64::try_from(end).ok();
            }
            _ => {}
        }
        before = before.checked_add(one.len())?;
    }
    None
}

fn inside(bytes: &[u8], kind: [u8; 4]) -> Option<&[u8]> {
    boxes(bytes.get(8..)?).into_iter().find(|(found, _)| *found == kind).map(|(_, one)| one)
}

/// The first sample's size, as its run or its header's default says.
fn first_sample_size(moof: &[u8]) -> Option<u32> {
    let traf = inside(moof, *b"traf")?;
    let trun = inside(traf, *b"trun")?;
    let flags = number(trun, 8)? & 0x00ff_ffff;
    // Version and flags, count; then what the flags announce, before the samples.
    let mut at = 16_usize;
    for announced in [0x1, 0x4] {
        at = at.checked_add(if flags & announced != 0 { 4 } else { 0 })?;
    }
    if flags & 0x200 != 0 {
        return number(trun, at.checked_add(if flags & 0x100 != 0 { 4 } else { 0 })?);
    }
    let tfhd = inside(traf, *b"tfhd")?;
    let flags = number(tfhd, 8)? & 0x00ff_ffff;
    let mut at = 16_usize;
    for (announced, size) in [(0x1, 8), (0x2, 4), (0x8, 4)] {
        at = at.checked_add(if flags & announced != 0 { size } else { 0 })?;
    }
    if flags & 0x10 != 0 { number(tfhd, at) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxed(kind: [u8; 4], inside: &[u8]) -> Vec<u8> {
        let size = u32::try_from(inside.len() + 8).unwrap();
        [&size.to_be_bytes()[..], &kind, inside].concat()
    }

    #[test]
    fn the_first_sample_ends_where_its_run_says() {
        let trun = boxed(*b"trun", &[0, 0, 2, 1, 0, 0, 0, 2, 0, 0, 0, 9, 0, 0, 0, 77, 0, 0, 0, 5]);
        let moof = boxed(*b"moof", &boxed(*b"traf", &trun));
        let segment = [moof.clone(), boxed(*b"mdat", &[0; 82])].concat();
        assert_eq!(first_sample_end(&segment), Some(moof.len() as u64 + 8 + 77));
    }

    #[test]
    fn what_is_no_box_ends_the_walk() {
        assert!(boxes(&[0, 0, 0, 3, b'a', b'b', b'c', b'd']).is_empty());
        assert!(boxes(b"short").is_empty());
        assert_eq!(first_sample_end(&[]), None);
    }
}
