use std::sync::mpsc::SyncSender;

use ffmpeg_the_third::{self as ffmpeg, Packet};
use nix::libc;

use crate::{MediaError, ffi::Input};

/// Reads packets and hands each to the stage that wants its stream, until no stage wants more.
pub(super) fn run(input: &mut Input, mut wanted: Vec<(usize, SyncSender<Packet>)>) {
    let streams = input.context.streams().count();
    for index in (0..streams).filter(|index| !wanted.iter().any(|(want, _)| want == index)) {
        input.discard(index);
    }
    while !wanted.is_empty() {
        let mut packet = Packet::empty();
        match packet.read(&mut input.context) {
            Ok(()) => {}
            Err(ffmpeg::Error::Other { errno: libc::EAGAIN }) => continue,
            // Damage ends the reading as the end does; the stages notice what is missing.
            Err(_) => break,
        }
        let index = packet.stream();
        let Some(place) = wanted.iter().position(|(want, _)| *want == index) else { continue };
        let gone = wanted.get(place).is_none_or(|(_, stage)| stage.send(packet).is_err());
        if gone {
            wanted.remove(place);
            input.discard(index);
        }
    }
}

/// Goes to the keyframe before the first instant that is needed.
pub(super) fn seek(input: &mut Input, seek: u64) -> Result<(), MediaError> {
    if seek == 0 {
        return Ok(());
    }
    let start = input.start_time().unwrap_or(0);
    let target = start.saturating_add(i64::try_from(seek).unwrap_or(i64::MAX));
    input
        .context
        .seek(target, ..=target)
        .map_err(|error| MediaError::input(format!("the input cannot be searched: {error}")))
}
