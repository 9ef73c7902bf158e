//! Sizes that headers state for the whole file: whether it is cut off does not depend on its media.

/// The size of a file, and what its header states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StatedSize {
    /// In bytes.
    pub(crate) stated: u64,
    /// In bytes.
    pub(crate) found: u64,
}

impl StatedSize {
    /// For a file of `size` bytes that begins with `head`; none if it states no size.
    pub(crate) fn of(head: &[u8], size: u64) -> Option<Self> {
        let stated =
            [matroska, riff, wave64, core_audio, asf].iter().find_map(|read| read(head))?;
        Some(Self { stated, found: size })
    }

    /// The error message of a file that has fewer bytes.
    pub(crate) fn cut_off(self) -> String {
        let Self { stated, found } = self;
        format!("the input is cut off: it has {found} of the {stated} bytes that its header states")
    }

    /// True if the file has every byte that its header states.
    pub(crate) const fn is_whole(self) -> bool {
        self.found >= self.stated
    }

    /// True if more is missing than an index, which some writers leave out, has.
    pub(crate) const fn lacks_media(self) -> bool {
        self.stated.saturating_sub(self.found) > self.stated / 20
    }
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
        // Those who write to a pipe cannot go back, and state the most that fits.
        0 | 0x7fff_0000.. => is_known.then_some(0),
        size => is_known.then(|| u64::from(size) + 8),
    }
}

/// The size of Sony Wave64.
fn wave64(head: &[u8]) -> Option<u64> {
    head.strip_prefix(b"riff\x2e\x91\xcf\x11")?;
    Some(u64::from_le_bytes(head.get(16..24)?.try_into().ok()?)).filter(|size| *size > 0)
}

/// The end of the audio in Apple's Core Audio Format; none if its writer could not go back to state it.
fn core_audio(head: &[u8]) -> Option<u64> {
    head.strip_prefix(b"caff")?;
    let mut at = 8_usize;
    loop {
        let content = at.checked_add(12)?;
        let size = head.get(at.checked_add(4)?..content)?.try_into().ok()?;
        let size = u64::try_from(i64::from_be_bytes(size)).ok()?;
        let end = u64::try_from(content).ok()?.checked_add(size)?;
        if head.get(at..)?.starts_with(b"data") {
            return Some(end);
        }
        at = usize::try_from(end).ok()?;
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

    fn is_whole(head: &[u8], size: u64) -> Option<bool> {
        StatedSize::of(head, size).map(StatedSize::is_whole)
    }

    #[test]
    fn a_file_that_lacks_its_index_lacks_no_media() {
        let lacks = |found| StatedSize { stated: 1_000, found }.lacks_media();
        assert_eq!((lacks(1_001), lacks(960), lacks(900)), (false, false, true));
    }

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
        assert_eq!(is_whole(b"RIFF\x24\xf0\xff\x7fWAVEfmt ", 15), Some(true));
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
    fn audio_files_state_their_size() {
        let wave64 = [b"riff\x2e\x91\xcf\x11".as_slice(), &[0; 8], &40_u64.to_le_bytes()].concat();
        assert_eq!((is_whole(&wave64, 40), is_whole(&wave64, 39)), (Some(true), Some(false)));
        let chunk = |kind: &[u8], size: i64| [kind, &size.to_be_bytes()].concat();
        let caf = |size| [chunk(b"caff\0\x01\0\0desc", 1), vec![0], chunk(b"data", size)].concat();
        assert_eq!((is_whole(&caf(10), 43), is_whole(&caf(10), 42)), (Some(true), Some(false)));
        assert_eq!(is_whole(&caf(-1), 40), None);
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
