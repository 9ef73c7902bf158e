use super::{
    packet_channel,
    packet_clock::{PacketClock, Reading},
    stated_ends::StatedEnds,
};
use crate::{
    MediaError,
    ffi::{self, Input},
};

/// A channel that receives the packets of a stream. A stream may have several sinks.
pub(crate) struct PacketSink {
    pub(crate) stream: usize,
    pub(crate) to: packet_channel::Sender,
}

/// Reads packets and sends each to the sinks of its stream, until the input ends or all sinks are
/// closed. `count` is called with the total that was read so far.
///
/// # Errors
/// The errors of `count`. The sinks of streams that end long before their stated end get the error.
pub(crate) fn run(
    input: &mut Input,
    mut sinks: Vec<PacketSink>,
    count: impl Fn(Reading) -> Result<(), MediaError>,
) -> Result<(), MediaError> {
    let mut clock = PacketClock::of(input);
    let has_sink = |index: usize| sinks.iter().any(|sink| sink.stream == index);
    let mut ends = StatedEnds::of(input);
    let streams = input.context.streams().count();
    for index in (0..streams).filter(|index| !ends.counts_all() && !has_sink(*index)) {
        input.discard(index);
    }
    while !sinks.is_empty() {
        // Damaged data ends the loop like the end of file.
        let Ok(Some(packet)) = input.packet() else {
            // The end of several recordings is not where the clock of the last one is.
            let joins = input.joins();
            for sink in sinks.into_iter().filter(|_| !joins) {
                if let Err(error) = ends.check(sink.stream) {
                    sink.to.fail(error);
                }
            }
            return Ok(());
        };
        ends.record(&packet);
        let index = packet.stream();
        let receivers = sinks.iter().filter(|sink| sink.stream == index).count();
        if receivers > 0 {
            count(clock.read(&packet))?;
            if ffi::is_encrypted(&packet) {
                for sink in sinks {
                    sink.to.fail(encrypted());
                }
                return Ok(());
            }
        }
        let mut left = receivers;
        let mut packet = Some(packet);
        sinks.retain(|sink| {
            if sink.stream != index {
                return true;
            }
            left = left.saturating_sub(1);
            let packet = if left == 0 { packet.take() } else { packet.clone() };
            packet.is_some_and(|packet| sink.to.send(packet))
        });
        let has_ended = receivers > 0 && !sinks.iter().any(|sink| sink.stream == index);
        if has_ended && !ends.counts_all() {
            input.discard(index);
        }
    }
    Ok(())
}

/// The error for an input whose packets are encrypted.
fn encrypted() -> MediaError {
    MediaError::new(
        ffapi_domain::job::FailureCode::Unsupported,
        "the input is encrypted (DRM); send a copy without encryption",
    )
}
