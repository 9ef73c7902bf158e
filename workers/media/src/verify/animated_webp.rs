//! Verifies animated WebP, which FFmpeg cannot demux: the chunks are parsed here, and each frame,
//! which lacks only the header of a WebP file, is decoded by FFmpeg. The format is Google's "WebP
//! Container Specification".

use std::{fs, path::Path};

use ffapi_domain::{job::StreamSummary, media::Plan};
use ffmpeg_the_third::{self as ffmpeg, Packet, codec, decoder};

use super::{expected::Expected, mismatch::mismatch};
use crate::{MediaError, ffi, protocol::VerifiedFile};

/// A RIFF chunk: its four-character code and its payload.
type Chunk<'a> = (&'a [u8], &'a [u8]);

/// Bytes of an `ANMF` chunk before the frame's own chunks: its position, size and duration.
const ANMF_HEADER: usize = 16;

pub(super) fn verify(
    output: &Path,
    plan: &Plan,
    expected: &Expected,
) -> Result<VerifiedFile, MediaError> {
    let bytes = fs::read(output).map_err(|error| mismatch(error.to_string()))?;
    let Decoded { frames, duration } = decode_all(&bytes)?;
    // The encoder drops frames that equal the previous one, and the animation if all are equal.
    if frames > expected.frames {
        let detail = format!("the output has {frames} frames, {} were encoded", expected.frames);
        return Err(mismatch(detail));
    }
    if let Some(duration) = duration {
        check_duration(duration, expected.frames, plan)?;
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
    Ok(VerifiedFile {
        streams: stream.into_iter().collect(),
        ..VerifiedFile::at_path(output, duration)
    })
}

/// The frames of a file.
#[derive(Debug, PartialEq, Eq)]
struct Decoded {
    frames: u64,
    /// The duration in microseconds; none for a still image.
    duration: Option<u64>,
}

/// Decodes every frame of a file.
fn decode_all(bytes: &[u8]) -> Result<Decoded, MediaError> {
    let chunks = parse(bytes).ok_or_else(|| mismatch("the output is not a complete WebP file"))?;
    let mut animation = Decoded { frames: 0, duration: Some(0) };
    for (_, body) in chunks.iter().filter(|(name, _)| *name == b"ANMF") {
        let frame = body.split_at_checked(ANMF_HEADER);
        let (header, body) = frame.ok_or_else(|| mismatch("a frame of the output is truncated"))?;
        decode(&still_image(body))?;
        let micros = header.get(12..15).map_or(0, little_endian).saturating_mul(1_000);
        animation.frames = animation.frames.saturating_add(1);
        animation.duration = animation.duration.map(|sum| sum.saturating_add(micros));
    }
    if animation.frames > 0 {
        return Ok(animation);
    }
    decode(bytes)?;
    Ok(Decoded { frames: 1, duration: None })
}

/// At a constant rate, the duration (microseconds) must be that of the encoded frames, or, if some
/// were dropped, the planned one; the file states it in milliseconds.
fn check_duration(duration: u64, encoded: u64, plan: &Plan) -> Result<(), MediaError> {
    let video = plan.video.as_ref().filter(|video| video.constant_rate && video.rate.num > 0);
    let Some(video) = video else { return Ok(()) };
    let of = |frames: u64| {
        let micros = frames.saturating_mul(1_000_000).saturating_mul(video.rate.den.into());
        micros / u64::from(video.rate.num.max(1))
    };
    let slack = of(2).saturating_add(2_000);
    let accepted = [Some(of(encoded)), plan.duration];
    if accepted.into_iter().flatten().any(|accepted| duration.abs_diff(accepted) <= slack) {
        return Ok(());
    }
    Err(mismatch(format!("the output lasts {duration} µs, its frames {} µs", of(encoded))))
}

/// The chunks of a file; none if it is incomplete.
fn parse(bytes: &[u8]) -> Option<Vec<Chunk<'_>>> {
    let rest = bytes.strip_prefix(b"RIFF")?;
    let (size, rest) = rest.split_at_checked(4)?;
    if usize::try_from(little_endian(size)).ok()? != rest.len() {
        return None;
    }
    let mut rest = rest.strip_prefix(b"WEBP")?;
    let mut chunks = Vec::new();
    while !rest.is_empty() {
        let (name, after) = rest.split_at_checked(4)?;
        let (size, after) = after.split_at_checked(4)?;
        let size = usize::try_from(little_endian(size)).ok()?;
        let (body, after) = after.split_at_checked(size)?;
        chunks.push((name, body));
        // Chunks start at even offsets.
        rest = after.get(size % 2..)?;
    }
    Some(chunks)
}

/// A little-endian number of up to eight bytes.
fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// A WebP file with a frame's own chunks.
fn still_image(chunks: &[u8]) -> Vec<u8> {
    let size = u32::try_from(chunks.len().saturating_add(4)).unwrap_or(u32::MAX);
    [b"RIFF", size.to_le_bytes().as_slice(), b"WEBP", chunks].concat()
}

fn decode(file: &[u8]) -> Result<(), MediaError> {
    let broken =
        |error: ffmpeg::Error| mismatch(format!("a frame of the output does not decode: {error}"));
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

    /// An animation of half a second, encoded by the ffmpeg command line from a source filter.
    fn encoded(source: &str) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("video.webp");
        let source = format!("{source}=s=320x180:r=20:d=0.5");
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.args(["-v", "error", "-f", "lavfi", "-i", &source, "-c:v", "libwebp_anim"]);
        assert!(ffmpeg.arg(&file).status().unwrap().success());
        fs::read(file).unwrap()
    }

    #[test]
    fn an_animation_is_decoded_frame_by_frame() {
        let animation = Decoded { frames: 10, duration: Some(500_000) };
        assert_eq!(decode_all(&encoded("testsrc2")).unwrap(), animation);
        let still = Decoded { frames: 1, duration: None };
        assert_eq!(decode_all(&encoded("color")).unwrap(), still);
    }

    #[test]
    fn truncated_and_damaged_files_are_rejected() {
        let animation = encoded("testsrc2");
        for length in (0..animation.len()).step_by(997) {
            assert!(decode_all(&animation[..length]).is_err(), "{length} bytes");
        }
        // The start code of the last frame, which its decoder requires.
        let last = animation.windows(3).rposition(|bytes| bytes == [0x9d, 0x01, 0x2a]).unwrap();
        let mut damaged = animation;
        damaged[last] = 0;
        assert!(decode_all(&damaged).is_err());
    }
}
