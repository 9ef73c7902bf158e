use std::sync::mpsc::SyncSender;

use ffmpeg_the_third::Packet;

use super::again;
use crate::{MediaError, ffi::Input};

/// Who takes a stream's packets. A stream may have several takers.
pub(super) struct Wanted {
    pub(super) stream: usize,
    pub(super) to: SyncSender<Packet>,
}

/// Reads packets and hands each to the stages that want its stream, until no stage wants more.
pub(super) fn run(input: &mut Input, mut wanted: Vec<Wanted>) {
    let streams = input.context.streams().count();
    for index in (0..streams).filter(|index| !wanted.iter().any(|want| want.stream == *index)) {
        input.discard(index);
    }
    while !wanted.is_empty() {
        let mut packet = Packet::empty();
        match packet.read(&mut input.context) {
            Ok(()) => {}
            Err(error) if again(error) => continue,
            // Damage ends the reading as the end does; the stages notice what is missing.
            Err(_) => break,
        }
        let index = packet.stream();
        let takers = wanted.iter().filter(|want| want.stream == index).count();
        let mut left = takers;
        let mut packet = Some(packet);
        wanted.retain(|want| {
            if want.stream != index {
                return true;
            }
            left = left.saturating_sub(1);
            let given = if left == 0 { packet.take() } else { packet.clone() };
            given.is_some_and(|packet| want.to.send(packet).is_ok())
        });
        if takers > 0 && !wanted.iter().any(|want| want.stream == index) {
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
