//! Parses the few ISO BMFF boxes (ISO/IEC 14496-12) that are needed.

/// The type of each box, and its bytes including the header; stops at invalid data.
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

/// The end of the `moov` box, where the initialization segment ends; false if there is none.
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

/// The number of bytes from the start of a segment to the end of its first sample: what a player
/// needs to show only the keyframe.
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

/// The first child box of a type.
fn child(bytes: &[u8], kind: [u8; 4]) -> Option<&[u8]> {
    boxes(bytes.get(8..)?).into_iter().find(|(found, _)| *found == kind).map(|(_, one)| one)
}

/// The size of the first sample: from its `trun` box, or the default in the `tfhd` box.
fn first_sample_size(moof: &[u8]) -> Option<u32> {
    let traf = child(moof, *b"traf")?;
    let trun = child(traf, *b"trun")?;
    let flags = number(trun, 8)? & 0x00ff_ffff;
    // Size, type, version and flags, and the count; then the fields before the samples, by the
    // flags.
    let mut at = 16_usize;
    for flag in [0x1, 0x4] {
        at = at.checked_add(if flags & flag != 0 { 4 } else { 0 })?;
    }
    if flags & 0x200 != 0 {
        return number(trun, at.checked_add(if flags & 0x100 != 0 { 4 } else { 0 })?);
    }
    let tfhd = child(traf, *b"tfhd")?;
    let flags = number(tfhd, 8)? & 0x00ff_ffff;
    let mut at = 16_usize;
    for (flag, size) in [(0x1, 8), (0x2, 4), (0x8, 4)] {
        at = at.checked_add(if flags & flag != 0 { size } else { 0 })?;
    }
    if flags & 0x10 != 0 { number(tfhd, at) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxed(kind: [u8; 4], content: &[u8]) -> Vec<u8> {
        let size = u32::try_from(content.len() + 8).unwrap();
        [&size.to_be_bytes()[..], &kind, content].concat()
    }

    #[test]
    fn the_first_sample_size_is_read_from_the_trun_box() {
        let trun = boxed(*b"trun", &[0, 0, 2, 1, 0, 0, 0, 2, 0, 0, 0, 9, 0, 0, 0, 77, 0, 0, 0, 5]);
        let moof = boxed(*b"moof", &boxed(*b"traf", &trun));
        let segment = [moof.clone(), boxed(*b"mdat", &[0; 82])].concat();
        assert_eq!(first_sample_end(&segment), Some(moof.len() as u64 + 8 + 77));
    }

    #[test]
    fn parsing_stops_at_invalid_data() {
        assert!(boxes(&[0, 0, 0, 3, b'a', b'b', b'c', b'd']).is_empty());
        assert!(boxes(b"short").is_empty());
        assert_eq!(first_sample_end(&[]), None);
    }
}
