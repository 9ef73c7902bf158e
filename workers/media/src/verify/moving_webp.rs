//! Moving WebP, which FFmpeg does not read back: the file is walked here, and each of its pictures,
//! which is a WebP file but for its frame, is decoded by FFmpeg. The format is Google's "WebP Container
//! Specification".

use std::{fs, path::Path};

use ffapi_domain::{job::StreamSummary, media::Plan};
use ffmpeg_the_third::{self as ffmpeg, Packet, codec, decoder};

use super::{Expected, wrong};
use crate::{MediaError, ffi, protocol::MadeFile};

/// A piece of a file: its name, and what is in it.
type Chunk<'a> = (&'a [u8], &'a [u8]);

/// What stands before a moving picture's own chunks: its place, its size, how long it is shown.
const HEAD: usize = 16;

pub(super) fn verify(
    output: &Path,
    plan: &Plan,
    expected: &Expected,
) -> Result<MadeFile, MediaError> {
    let bytes = fs::read(output).map_err(|error| wrong(error.to_string()))?;
    let Shown { pictures, lasts } = shown(&bytes)?;
    // The encoder leaves out a picture that is like the one before it, and the motion if all are.
    if pictures > expected.frames {
        let detail = format!("the output has {pictures} pictures, {} encoded", expected.frames);
        return Err(wrong(detail));
    }
    if let Some(lasts) = lasts {
        check_duration(lasts, expected.frames, plan)?;
    }
    let stream = plan.video.as_ref().map(|video| StreamSummary {
        kind: "video".to_owned(),
        codec: "webp".to_owned(),
        width: Some(video.width),
        height: Some(video.height),
        fps: Some(video.rate.as_f64()),
        channels: None,
        sample_rate: None,
    });
    #[expect(clippy::cast_precision_loss, reason = "shown in seconds")]
    let duration = plan.duration.map(|micros| micros as f64 / 1_000_000.0);
    Ok(MadeFile { streams: stream.into_iter().collect(), ..MadeFile::plain(output, duration) })
}

/// What a player shows of a file.
#[derive(Debug, PartialEq, Eq)]
struct Shown {
    pictures: u64,
    /// Microseconds, if it moves.
    lasts: Option<u64>,
}

/// Decodes every picture of a file.
fn shown(bytes: &[u8]) -> Result<Shown, MediaError> {
    let chunks = file(bytes).ok_or_else(|| wrong("the output is not a whole WebP file"))?;
    let mut moving = Shown { pictures: 0, lasts: Some(0) };
    for (_, body) in chunks.iter().filter(|(name, _)| *name == b"ANMF") {
        let picture = body.split_at_checked(HEAD);
        let (head, body) = picture.ok_or_else(|| wrong("a picture of the output breaks off"))?;
        decode(&still(body))?;
        let millis = head.get(12..15).map_or(0, small);
        moving.pictures = moving.pictures.saturating_add(1);
        moving.lasts = moving.lasts.map(|lasts| lasts.saturating_add(millis.saturating_mul(1_000)));
    }
    if moving.pictures > 0 {
        return Ok(moving);
    }
    decode(bytes)?;
    Ok(Shown { pictures: 1, lasts: None })
}

/// At a constant rate, as long as its pictures, or, where some are missing, as planned; the encoder says
/// how long in milliseconds.
fn check_duration(lasts: u64, encoded: u64, plan: &Plan) -> Result<(), MediaError> {
    let video = plan.video.as_ref().filter(|video| video.constant_rate && video.rate.num > 0);
    let Some(video) = video else { return Ok(()) };
    let of = |pictures: u64| {
        let micros = pictures.saturating_mul(1_000_000).saturating_mul(video.rate.den.into());
        micros / u64::from(video.rate.num.max(1))
    };
    let slack = of(2).saturating_add(2_000);
    let right = [Some(of(encoded)), plan.duration];
    if right.into_iter().flatten().any(|right| lasts.abs_diff(right) <= slack) {
        return Ok(());
    }
    Err(wrong(format!("the output lasts {lasts} µs, its pictures {} µs", of(encoded))))
}

/// The pieces of a whole file.
fn file(bytes: &[u8]) -> Option<Vec<Chunk<'_>>> {
    let rest = bytes.strip_prefix(b"RIFF")?;
    let (size, rest) = rest.split_at_checked(4)?;
    if usize::try_from(small(size)).ok()? != rest.len() {
        return None;
    }
    let mut rest = rest.strip_prefix(b"WEBP")?;
    let mut chunks = Vec::new();
    while !rest.is_empty() {
        let (name, after) = rest.split_at_checked(4)?;
        let (size, after) = after.split_at_checked(4)?;
        let size = usize::try_from(small(size)).ok()?;
        let (body, after) = after.split_at_checked(size)?;
        chunks.push((name, body));
        // Each begins at an even place.
        rest = after.get(size % 2..)?;
    }
    Some(chunks)
}

/// A number as RIFF writes it.
fn small(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// A picture's own chunks as a file.
fn still(chunks: &[u8]) -> Vec<u8> {
    let size = u32::try_from(chunks.len().saturating_add(4)).unwrap_or(u32::MAX);
    [b"RIFF", size.to_le_bytes().as_slice(), b"WEBP", chunks].concat()
}

fn decode(file: &[u8]) -> Result<(), MediaError> {
    let broken =
        |error: ffmpeg::Error| wrong(format!("a picture of the output does not decode: {error}"));
    let codec = decoder::find(codec::Id::WEBP).ok_or(ffmpeg::Error::DecoderNotFound);
    let context = codec::Context::new_with_codec(codec.map_err(broken)?);
    let mut decoder = context.decoder().video().map_err(broken)?;
    decoder.send_packet(&Packet::copy(file)).map_err(broken)?;
    decoder.send_eof().map_err(broken)?;
    decoder.receive_frame(&mut ffi::empty_frame()).map_err(broken)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// A film of half a second by the command line's encoder.
    fn made(picture: &str) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("film.webp");
        let picture = format!("{picture}=s=320x180:r=20:d=0.5");
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.args(["-v", "error", "-f", "lavfi", "-i", &picture, "-c:v", "libwebp_anim"]);
        assert!(ffmpeg.arg(&file).status().unwrap().success());
        fs::read(file).unwrap()
    }

    #[test]
    fn a_moving_picture_is_decoded_picture_by_picture() {
        let whole = Shown { pictures: 10, lasts: Some(500_000) };
        assert_eq!(shown(&made("testsrc2")).unwrap(), whole);
        assert_eq!(shown(&made("color")).unwrap(), Shown { pictures: 1, lasts: None });
    }

    #[test]
    fn what_is_cut_off_or_damaged_is_wrong() {
        let film = made("testsrc2");
        for length in (0..film.len()).step_by(997) {
            assert!(shown(&film[..length]).is_err(), "{length} bytes");
        }
        // The last picture's beginning, by which a decoder knows it.
        let last = film.windows(3).rposition(|bytes| bytes == [0x9d, 0x01, 0x2a]).unwrap();
        let mut damaged = film;
        damaged[last] = 0;
        assert!(shown(&damaged).is_err());
    }
}
