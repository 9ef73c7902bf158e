use ffmpeg_the_third::Rational;

use super::mismatch::mismatch;
use crate::{MediaError, ffi::Input, pipeline::packet_span::PacketSpan};

/// Totals of a demuxed file.
#[derive(Default)]
pub(super) struct Counted {
    /// Packets of the video stream.
    pub(super) frames: u64,
    /// Keyframes among them.
    pub(super) keys: u64,
    /// Time of the last keyframe, in the stream's time base.
    pub(super) last_key: i64,
    /// What the packets of all streams cover.
    pub(super) span: PacketSpan,
}

/// Reads an output to its end. `video` is the index of its video stream, if it has one.
///
/// # Errors
/// `verification_failed` if it cannot be read to its end, or the video has no packets.
pub(super) fn demux_all(input: &mut Input, video: Option<u32>) -> Result<Counted, MediaError> {
    let video = video.and_then(|video| usize::try_from(video).ok());
    let bases: Vec<Rational> = input.context.streams().map(|stream| stream.time_base()).collect();
    let mut counted = Counted::default();
    let broken = |error| mismatch(format!("the output cannot be read to its end: {error}"));
    while let Some(packet) = input.packet().map_err(broken)? {
        if let Some(base) = bases.get(packet.stream()) {
            counted.span.include(&packet, *base);
        }
        if Some(packet.stream()) == video {
            counted.frames = counted.frames.saturating_add(1);
            if packet.is_key() {
                counted.keys = counted.keys.saturating_add(1);
                counted.last_key = packet.pts().or(packet.dts()).unwrap_or(0);
            }
        }
    }
    if video.is_some() && counted.frames == 0 {
        return Err(mismatch("the output has no frames"));
    }
    Ok(counted)
}
