//! Ends the presentation of an MP4 file where a copied part ends: packets after that are kept, because
//! those before it refer to them.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
};

use ffapi_domain::media::Micros;

/// The most bytes of a `moov` box that is changed.
const MAX_MOOV_BYTES: u64 = 256 * 1024 * 1024;

/// Shortens the edit list of each track to `end` (microseconds), if it has one that is longer.
pub(super) fn limit(path: &Path, end: Micros) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let Some((start, size)) = find_moov(&mut file)?.filter(|(_, size)| *size <= MAX_MOOV_BYTES)
    else {
        return Ok(());
    };
    let mut moov = vec![0; usize::try_from(size).unwrap_or(0)];
    file.seek(SeekFrom::Start(start))?;
    file.read_exact(&mut moov)?;
    if limit_tracks(&mut moov, end).is_some() {
        file.seek(SeekFrom::Start(start))?;
        file.write_all(&moov)?;
    }
    Ok(())
}

/// Offset and size of the content of the `moov` box.
fn find_moov(file: &mut File) -> io::Result<Option<(u64, u64)>> {
    let end = file.seek(SeekFrom::End(0))?;
    let mut at = 0_u64;
    while at.saturating_add(8) <= end {
        file.seek(SeekFrom::Start(at))?;
        let mut header = [0_u8; 16];
        let read = usize::try_from(end.saturating_sub(at).min(16)).unwrap_or(0);
        file.read_exact(header.get_mut(..read).unwrap_or_default())?;
        let [a, b, c, d, kind @ .., _, _, _, _, _, _, _, _] = header;
        let large = u64::from_be_bytes(header.last_chunk().copied().unwrap_or_default());
        let (size, head) = match u32::from_be_bytes([a, b, c, d]) {
            0 => (end.saturating_sub(at), 8),
            1 => (large, 16),
            size => (u64::from(size), 8),
        };
        if kind == *b"moov" {
            return Ok(Some((at.saturating_add(head), size.saturating_sub(head))));
        }
        at = at.saturating_add(size.max(8));
    }
    Ok(None)
}

/// Limits all tracks of a `moov` box; none if it is not of the expected form.
fn limit_tracks(moov: &mut [u8], end: Micros) -> Option<()> {
    let mvhd = children(moov, 0..moov.len()).into_iter().find(|(kind, _)| kind == b"mvhd")?.1;
    let times = Width::of_version(*moov.get(mvhd.start)?);
    let scale = number(moov, mvhd.start.checked_add(times.pick(12, 20))?, Width::Four)?;
    let limit = u64::try_from(u128::from(end) * u128::from(scale) / 1_000_000).ok()?;
    let mut longest = 0;
    for (_, track) in children(moov, 0..moov.len()).into_iter().filter(|(kind, _)| kind == b"trak")
    {
        longest = longest.max(limit_track(moov, track, limit)?);
    }
    let duration = mvhd.start.checked_add(times.pick(16, 24))?;
    lower(moov, duration, times, longest)
}

/// Limits one track; returns its duration in the units of the movie.
fn limit_track(moov: &mut [u8], track: Range, limit: u64) -> Option<u64> {
    let inside = children(moov, track);
    let find = |wanted: &[u8; 4]| inside.iter().find(|(kind, _)| kind == wanted).cloned();
    let tkhd = find(b"tkhd")?.1;
    let times = Width::of_version(*moov.get(tkhd.start)?);
    let duration = tkhd.start.checked_add(times.pick(20, 28))?;
    let Some((_, edts)) = find(b"edts") else { return number(moov, duration, times) };
    let elst = children(moov, edts).into_iter().find(|(kind, _)| kind == b"elst")?.1;
    let edits = Width::of_version(*moov.get(elst.start)?);
    let count = number(moov, elst.start.checked_add(4)?, Width::Four)?;
    let entry = edits.pick(12, 20);
    let mut at = elst.start.checked_add(8)?;
    let mut total = 0_u64;
    for _ in 0..count {
        lower(moov, at, edits, limit.saturating_sub(total))?;
        total = total.checked_add(number(moov, at, edits)?)?;
        at = at.checked_add(entry)?;
    }
    lower(moov, duration, times, total)?;
    Some(total)
}

type Range = std::ops::Range<usize>;

/// The type and content of each box in a part of the bytes.
fn children(bytes: &[u8], within: Range) -> Vec<([u8; 4], Range)> {
    let mut found = Vec::new();
    let mut at = within.start;
    while let Some(size) =
        number(bytes, at, Width::Four).and_then(|size| usize::try_from(size).ok())
    {
        let (Some(content), Some(next)) = (at.checked_add(8), at.checked_add(size)) else { break };
        let kind = at.checked_add(4).and_then(|from| bytes.get(from..content));
        let Some(kind) = kind.and_then(|kind| kind.try_into().ok()) else { break };
        if size < 8 || next > within.end {
            break;
        }
        found.push((kind, content..next));
        at = next;
    }
    found
}

/// The bytes of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    Four,
    Eight,
}

impl Width {
    /// Of the times in a box of a version.
    const fn of_version(version: u8) -> Self {
        if version == 1 { Self::Eight } else { Self::Four }
    }

    /// What depends on the width, such as the offset of what follows a number.
    const fn pick(self, four: usize, eight: usize) -> usize {
        match self {
            Self::Four => four,
            Self::Eight => eight,
        }
    }
}

fn number(bytes: &[u8], at: usize, width: Width) -> Option<u64> {
    let bytes = bytes.get(at..)?;
    Some(match width {
        Width::Four => u64::from(u32::from_be_bytes(*bytes.first_chunk()?)),
        Width::Eight => u64::from_be_bytes(*bytes.first_chunk()?),
    })
}

/// Lowers a number to a limit, if it is above.
fn lower(bytes: &mut [u8], at: usize, width: Width, limit: u64) -> Option<()> {
    let value = number(bytes, at, width)?.min(limit).to_be_bytes();
    let value = value.get(width.pick(4, 0)..)?;
    bytes.get_mut(at..at.checked_add(value.len())?)?.copy_from_slice(value);
    Some(())
}
