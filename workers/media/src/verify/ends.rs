//! The ends of a finished output, decoded.

use std::{path::Path, thread};

use ffmpeg_the_third::{self as ffmpeg, Rescale, codec};

use super::{Counted, MICROS, wrong};
use crate::{MediaError, engine, ffi, ffi::Input, open};

fn broken(error: ffmpeg::Error) -> MediaError {
    wrong(format!("the output does not decode: {error}"))
}

fn context(input: &Input, stream: u32) -> Result<(codec::Context, ffmpeg::Rational), MediaError> {
    let index = usize::try_from(stream).unwrap_or(usize::MAX);
    let Some(stream) = input.context.stream(index) else {
        return Err(wrong("the output lacks a stream"));
    };
    let parameters = ffi::own_parameters(&stream).map_err(broken)?;
    let mut context = codec::Context::from_parameters(parameters).map_err(broken)?;
    ffi::prepare_decoder(&mut context, stream.time_base(), 0).map_err(broken)?;
    ffi::skip_smoothing(&mut context);
    Ok((context, stream.time_base()))
}

/// Decodes the first group of pictures and the last one, wholly, and both ends of each sound: all at
/// once, for nothing else is left that would keep the processor busy. The file `begins` at that
/// microsecond.
pub(super) fn decode_ends(
    path: &Path,
    begins: i64,
    pictures: Option<(u32, &Counted)>,
    sounds: &[u32],
    duration: u64,
) -> Result<(), MediaError> {
    let open = || {
        let unreadable = |error| wrong(format!("the output does not open again: {error}"));
        open::again(path).map_err(unreadable)
    };
    thread::scope(|scope| {
        let mut checks = Vec::new();
        if let Some((video, counted)) = pictures {
            checks.push(scope.spawn(move || decode_first(&mut open()?, video)));
            // Of one group, the first is the last.
            if counted.keys > 1 {
                let last_key = counted.last_key;
                let check = move || decode_last(&mut open()?, begins, video, last_key);
                checks.push(scope.spawn(check));
            }
        }
        for sound in sounds {
            checks.push(scope.spawn(move || decode_sound(&mut open()?, begins, *sound, duration)));
        }
        let ended = |check: thread::ScopedJoinHandle<'_, Result<(), MediaError>>| {
            check.join().unwrap_or_else(|_| Err(wrong("reading the output back broke off")))
        };
        checks.into_iter().try_for_each(ended)
    })
}

fn decodes_to_nothing() -> MediaError {
    wrong("a group of pictures of the output decodes to nothing")
}

pub(super) fn decode_first(input: &mut Input, video: u32) -> Result<(), MediaError> {
    if decode_group(input, video, None)? == 0 { Err(decodes_to_nothing()) } else { Ok(()) }
}

fn decode_last(
    input: &mut Input,
    begins: i64,
    video: u32,
    last_key: i64,
) -> Result<(), MediaError> {
    let (_, time_base) = context(input, video)?;
    seek(input, last_key.rescale(time_base, MICROS).max(begins));
    let mut last = decode_group(input, video, Some(last_key))?;
    if last == 0 {
        // Some formats can only be searched roughly.
        seek(input, begins);
        last = decode_group(input, video, Some(last_key))?;
    }
    if last == 0 { Err(decodes_to_nothing()) } else { Ok(()) }
}

/// Decodes from a keyframe to the end, or, without one, the first group; answers how many pictures.
fn decode_group(input: &mut Input, video: u32, from: Option<i64>) -> Result<u64, MediaError> {
    let index = usize::try_from(video).unwrap_or(usize::MAX);
    let (context, _) = context(input, video)?;
    let mut decoder = context.decoder().video().map_err(broken)?;
    let (mut keys, mut decoded) = (0_u32, 0_u64);
    let mut begun = from.is_none();
    while let Some(packet) = input.packet().map_err(broken)? {
        if packet.stream() != index {
            continue;
        }
        begun |= packet.is_key() && packet.pts().or(packet.dts()).unwrap_or(0) == from.unwrap_or(0);
        if !begun {
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

/// Goes there, or to the beginning in a format that cannot be searched.
fn seek(input: &mut Input, to: i64) {
    if input.context.seek(to, ..=to).is_err() {
        let _ = input.context.seek(i64::MIN, ..);
    }
}

/// Decodes the sound's first second and its last one.
fn decode_sound(
    input: &mut Input,
    begins: i64,
    sound: u32,
    duration: u64,
) -> Result<(), MediaError> {
    const SECOND: i64 = 1_000_000;
    let index = usize::try_from(sound).unwrap_or(usize::MAX);
    let end = i64::try_from(duration).unwrap_or(i64::MAX);
    for (from, until) in [(0, SECOND), (end.saturating_sub(SECOND).max(0), i64::MAX)] {
        let (context, time_base) = context(input, sound)?;
        seek(input, from.saturating_add(begins));
        let mut decoder = context.decoder().audio().map_err(broken)?;
        let mut decoded = 0_u64;
        while let Some(packet) = input.packet().map_err(broken)? {
            if packet.stream() != index {
                continue;
            }
            let at = packet.pts().unwrap_or(0).rescale(time_base, MICROS).saturating_sub(begins);
            if at > until && decoded > 0 {
                break;
            }
            decoder.send_packet(&packet).map_err(broken)?;
            decoded = decoded.saturating_add(drain(&mut decoder)?);
        }
        decoder.send_eof().map_err(broken)?;
        decoded = decoded.saturating_add(drain(&mut decoder)?);
        if decoded == 0 {
            return Err(wrong("the output's sound decodes to nothing"));
        }
    }
    Ok(())
}

/// Counts what is decoded so far.
fn drain(decoder: &mut codec::decoder::Opened) -> Result<u64, MediaError> {
    let mut decoded = 0_u64;
    let mut frame = ffi::empty_frame();
    loop {
        match decoder.receive_frame(&mut frame) {
            Ok(()) => decoded = decoded.saturating_add(1),
            Err(ffmpeg::Error::Eof) => return Ok(decoded),
            Err(error) if engine::again(error) => return Ok(decoded),
            Err(error) => return Err(broken(error)),
        }
    }
}
