//! Sizes that headers state for the whole file: whether it is cut off does not depend on its media.

/// True if a file of `size` bytes that begins with `head` has every byte that its header states; none
/// if it states no size.
pub(crate) fn is_whole(head: &[u8], size: u64) -> Option<bool> {
    let stated = matroska(head).or_else(|| riff(head)).or_else(|| asf(head))?;
    Some(size >= stated)
}

/// The end of the segment, after the EBML header; none for a live stream.
fn matroska(head: &[u8]) -> Option<u64> {
    const EBML: u64 = 0x1a45_dfa3;
    const SEGMENT: u64 = 0x1853_8067;
    let mut at = 0_usize;
    let header = element(head, &mut at, EBML)?;
    at = at.checked_add(usize::try_from(header).ok()?)?;
    let segment = element(head, &mut at, SEGMENT)?;
    u64::try_from(at).ok()?.checked_add(segment)
}

/// Reads the id and size of an EBML element; `at` moves to its content.
fn element(head: &[u8], at: &mut usize, id: u64) -> Option<u64> {
    let (found, length) = number(head.get(*at..)?)?;
    *at = at.checked_add(length)?;
    let (size, length) = number(head.get(*at..)?)?;
    *at = at.checked_add(length)?;
    // The marker of the length belongs to an id, and not to a size.
    let bits = u32::try_from(length).ok()?.checked_mul(7)?;
    let size = size & (1_u64.checked_shl(bits)?).checked_sub(1)?;
    let is_unknown = size.checked_add(1)? == 1_u64.checked_shl(bits)?;
    (found == id && !is_unknown).then_some(size)
}

/// A number of one to eight bytes with its length, by the leading zeros of the first.
fn number(bytes: &[u8]) -> Option<(u64, usize)> {
    let length = usize::try_from(bytes.first()?.leading_zeros()).ok()?.checked_add(1)?;
    let bytes = bytes.get(..length).filter(|_| length <= 8)?;
    Some((bytes.iter().fold(0, |number, byte| (number << 8) | u64::from(*byte)), length))
}

/// The end of the first RIFF chunk of AVI and WAV; 0 if its writer could not go back to state it.
fn riff(head: &[u8]) -> Option<u64> {
    let is_known = head.starts_with(b"RIFF") && matches!(head.get(8..12)?, b"AVI " | b"WAVE");
    let size = u32::from_le_bytes(head.get(4..8)?.try_into().ok()?);
    match size {
        0 | u32::MAX => is_known.then_some(0),
        size => is_known.then(|| u64::from(size) + 8),
    }
}

/// The size in the object of file properties, unless the file is a broadcast.
fn asf(head: &[u8]) -> Option<u64> {
    const HEADER: &[u8] = b"\x30\x26\xb2\x75\x8e\x66\xcf\x11";
    const PROPERTIES: &[u8] = b"\xa1\xdc\xab\x8c\x47\xa9\xcf\x11\x8e\xe4\x00\xc0\x0c\x20\x53\x65";
    head.strip_prefix(HEADER)?;
    let at = head.windows(PROPERTIES.len()).position(|window| window == PROPERTIES)?;
    let field = |offset: usize, length: usize| {
        let start = at.checked_add(offset)?;
        head.get(start..start.checked_add(length)?)
    };
    let size = u64::from_le_bytes(field(40, 8)?.try_into().ok()?);
    let is_broadcast = field(88, 1)?.first()? & 1 == 1;
    (!is_broadcast && size > 0).then_some(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matroska_file_is_whole_if_its_segment_is() {
        let head = b"\x1a\x45\xdf\xa3\x82\x42\x86\x18\x53\x80\x67\x84....";
        assert_eq!((is_whole(head, 16), is_whole(head, 15)), (Some(true), Some(false)));
        let live = b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff";
        assert_eq!(is_whole(live, 16), None);
    }

    #[test]
    fn an_avi_file_is_whole_if_its_first_chunk_is() {
        let head = b"RIFF\x08\x00\x00\x00AVI LIST";
        assert_eq!((is_whole(head, 16), is_whole(head, 15)), (Some(true), Some(false)));
        assert_eq!(is_whole(b"RIFF\0\0\0\0AVI LIST", 15), Some(true));
    }

    #[test]
    fn an_asf_file_states_its_size_unless_it_is_a_broadcast() {
        let mut head = b"\x30\x26\xb2\x75\x8e\x66\xcf\x11".to_vec();
        let at = head.len();
        head.extend(b"\xa1\xdc\xab\x8c\x47\xa9\xcf\x11\x8e\xe4\x00\xc0\x0c\x20\x53\x65");
        head.resize(at + 104, 0);
        head[at + 40] = 112;
        assert_eq!((is_whole(&head, 112), is_whole(&head, 111)), (Some(true), Some(false)));
        head[at + 88] = 1;
        assert_eq!(is_whole(&head, 111), None);
    }

    #[test]
    fn other_files_state_no_size() {
        assert!(
            [b"".as_slice(), b"\x1a\x45", b"OggS", &[0; 64]]
                .iter()
                .all(|head| is_whole(head, 1).is_none())
        );
    }
}
