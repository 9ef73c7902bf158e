//! Decodes both ends of a finished output.

use std::{path::Path, thread};

use ffmpeg_the_third::{self as ffmpeg, Rescale, codec};

use super::{mismatch::mismatch, packets::Counted};
use crate::{
    MediaError,
    ffi::{self, Input},
    open,
    units::MICROS,
};

fn broken(error: ffmpeg::Error) -> MediaError {
    mismatch(format!("the output does not decode: {error}"))
}

fn context(input: &Input, stream: u32) -> Result<(codec::Context, ffmpeg::Rational), MediaError> {
    let index = usize::try_from(stream).unwrap_or(usize::MAX);
    let Some(stream) = input.context.stream(index) else {
        return Err(mismatch("the output lacks a stream"));
    };
    let parameters = ffi::copy_parameters(&stream).map_err(broken)?;
    let mut context = codec::Context::from_parameters(parameters).map_err(broken)?;
    ffi::prepare_decoder(&mut context, stream.time_base(), 0).map_err(broken)?;
    ffi::skip_loop_filter(&mut context);
    Ok((context, stream.time_base()))
}

/// Decodes the first and the last GOP of the video, and both ends of each audio stream. They run in
/// parallel, since at this point the process has nothing else to do. `start` is the start time of
/// the file and `duration` its length, in microseconds.
pub(super) fn decode_ends(
    path: &Path,
    start: i64,
    video: Option<(u32, &Counted)>,
    audio: &[u32],
    duration: u64,
) -> Result<(), MediaError> {
    let open = || {
        let unreadable = |error| mismatch(format!("the output cannot be opened: {error}"));
        open::reopen(path).map_err(unreadable)
    };
    thread::scope(|scope| {
        let mut checks = Vec::new();
        if let Some((video, counted)) = video {
            checks.push(scope.spawn(move || decode_first(&mut open()?, video)));
            // With one keyframe, the first GOP is also the last.
            if counted.keys > 1 {
                let last_key = counted.last_key;
                let check = move || decode_last(&mut open()?, start, video, last_key);
                checks.push(scope.spawn(check));
            }
        }
        for stream in audio {
            checks.push(scope.spawn(move || decode_audio(&mut open()?, start, *stream, duration)));
        }
        let join = |check: thread::ScopedJoinHandle<'_, Result<(), MediaError>>| {
            check.join().unwrap_or_else(|_| Err(mismatch("verifying the output panicked")))
        };
        checks.into_iter().try_for_each(join)
    })
}

fn no_frames() -> MediaError {
    mismatch("a GOP of the output decodes to no frames")
}

pub(super) fn decode_first(input: &mut Input, video: u32) -> Result<(), MediaError> {
    if decode_group(input, video, None)? == 0 { Err(no_frames()) } else { Ok(()) }
}

fn decode_last(input: &mut Input, start: i64, video: u32, last_key: i64) -> Result<(), MediaError> {
    let (_, time_base) = context(input, video)?;
    seek(input, last_key.rescale(time_base, MICROS).max(start));
    let mut last = decode_group(input, video, Some(last_key))?;
    if last == 0 {
        // Some formats only support imprecise seeking.
        seek(input, start);
        last = decode_group(input, video, Some(last_key))?;
    }
    if last == 0 { Err(no_frames()) } else { Ok(()) }
}

/// Decodes from the keyframe at `from` to the end, or the first GOP if none; returns the number of
/// frames.
fn decode_group(input: &mut Input, video: u32, from: Option<i64>) -> Result<u64, MediaError> {
    let index = usize::try_from(video).unwrap_or(usize::MAX);
    let (context, _) = context(input, video)?;
    let mut decoder = context.decoder().video().map_err(broken)?;
    let (mut keys, mut decoded) = (0_u32, 0_u64);
    let mut started = from.is_none();
    while let Some(packet) = input.packet().map_err(broken)? {
        if packet.stream() != index {
            continue;
        }
        started |=
            packet.is_key() && packet.pts().or(packet.dts()).unwrap_or(0) == from.unwrap_or(0);
        if !started {
            continue;
        }
        keys = keys.saturating_add(u32::from(packet.is_key()));
        if keys > 1 && from.is_none() {
            break;
        }
        decoder.send_packet(&packet).map_err(broken)?;
        decoded = decoded.saturating_add(drain(&mut decoder)?);
    }
    decoder.send_eof().map_err(broken)?;
    Ok(decoded.saturating_add(drain(&mut decoder)?))
}

/// Seeks to a time in microseconds, or to the start in a format without an index.
fn seek(input: &mut Input, to: i64) {
    if input.context.seek(to, ..=to).is_err() {
        let _ = input.context.seek(i64::MIN, ..);
    }
}

/// Decodes the first and the last second of an audio stream of an input that was just opened.
fn decode_audio(
    input: &mut Input,
    start: i64,
    stream: u32,
    duration: u64,
) -> Result<(), MediaError> {
    const SECOND: i64 = 1_000_000;
    let last = i64::try_from(duration).unwrap_or(i64::MAX).saturating_sub(SECOND);
    let mut decoded = decode_part(input, start, stream, SECOND)?;
    if decoded > 0 && last > 0 {
        seek(input, last.saturating_add(start));
        decoded = decode_part(input, start, stream, i64::MAX)?;
        if decoded == 0 {
            // All samples there may be padding.
            seek(input, start);
            decoded = decode_part(input, start, stream, i64::MAX)?;
        }
    }
    if decoded == 0 { Err(mismatch("the output's audio decodes to no frames")) } else { Ok(()) }
}

/// Decodes an audio stream from where the input is until a time in microseconds; returns the number
/// of frames.
fn decode_part(input: &mut Input, start: i64, stream: u32, until: i64) -> Result<u64, MediaError> {
    let index = usize::try_from(stream).unwrap_or(usize::MAX);
    let (context, time_base) = context(input, stream)?;
    let mut decoder = context.decoder().audio().map_err(broken)?;
    let mut decoded = 0_u64;
    while let Some(packet) = input.packet().map_err(broken)? {
        if packet.stream() != index {
            continue;
        }
        let at = packet.pts().unwrap_or(0).rescale(time_base, MICROS).saturating_sub(start);
        if at > until && decoded > 0 {
            break;
        }
        decoder.send_packet(&packet).map_err(broken)?;
        decoded = decoded.saturating_add(drain(&mut decoder)?);
    }
    decoder.send_eof().map_err(broken)?;
    Ok(decoded.saturating_add(drain(&mut decoder)?))
}

/// Receives the frames that are decoded so far; returns their number.
fn drain(decoder: &mut codec::decoder::Opened) -> Result<u64, MediaError> {
    let mut decoded = 0_u64;
    let mut frame = ffi::empty_frame();
    loop {
        match decoder.receive_frame(&mut frame) {
            Ok(()) => decoded = decoded.saturating_add(1),
            Err(ffmpeg::Error::Eof) => return Ok(decoded),
            Err(error) if ffi::is_eagain(error) => return Ok(decoded),
            Err(error) => return Err(broken(error)),
        }
    }
}
