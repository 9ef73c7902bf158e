use std::sync::mpsc::SyncSender;

use ffapi_domain::media::Window;
use ffmpeg_the_third::{Packet, Rational, Rescale};

use crate::{
    MediaError,
    heartbeat::Heartbeat,
    pipeline::{encoded_packet::EncodedPacket, packet_channel},
    units::MICROS,
};

/// Forwards the packets of a stream without re-encoding, with shifted timestamps.
pub(crate) struct StreamCopy {
    pub(crate) packets: packet_channel::Receiver,
    pub(crate) encoded: SyncSender<EncodedPacket>,
    pub(crate) stream: usize,
    /// "audio" or "video", for messages.
    pub(crate) kind: &'static str,
    pub(crate) time_base: Rational,
    /// The container's first instant, in `time_base`.
    pub(crate) origin: i64,
    /// The part to keep, in the time of the input.
    pub(crate) keep: Window,
    /// True if packets before the cut are kept as references for those after it: the container
    /// hides them by an edit list.
    pub(crate) has_edit_list: bool,
}

impl StreamCopy {
    /// Forwards packets until the packets or the window end, or the receiver is closed.
    ///
    /// # Errors
    /// `invalid_input` if the input is incomplete, or no packet is in the window.
    pub(crate) fn run(self, heartbeat: &Heartbeat<'_>) -> Result<(), MediaError> {
        let time =
            |micros: u64| i64::try_from(micros).unwrap_or(i64::MAX).rescale(MICROS, self.time_base);
        let start = time(self.keep.start);
        let end = self.keep.end.map(time);
        let (mut held, mut is_empty) = (Vec::new(), true);
        while let Some(mut packet) = self.packets.next() {
            heartbeat.beat();
            let moved = |time: i64| time.saturating_sub(self.origin).saturating_sub(start);
            let pts = packet.pts().map(moved);
            let dts = packet.dts().map(moved);
            let at = dts.or(pts).unwrap_or(0);
            let until = pts.or(dts).unwrap_or(0).saturating_add(packet.duration());
            if end.is_some_and(|end| at >= end.saturating_sub(start)) {
                return if is_empty { Err(MediaError::nothing_left(self.kind)) } else { Ok(()) };
            }
            is_empty &= self.keep.start > 0 && until <= 0;
            if until <= 0 && self.keep.start > 0 && !self.has_edit_list {
                continue;
            }
            packet.set_pts(pts);
            packet.set_dts(dts);
            // What is presented after the end is only needed to decode later packets before it.
            let is_after =
                end.is_some_and(|end| pts.or(dts).unwrap_or(0) >= end.saturating_sub(start));
            held.push(packet);
            if !is_after && !self.send(&mut held) {
                return Ok(());
            }
        }
        match self.packets.error() {
            Some(error) => Err(error),
            None if is_empty => Err(MediaError::nothing_left(self.kind)),
            None => Ok(()),
        }
    }

    /// Sends the packets to the muxer; false once that is closed.
    fn send(&self, packets: &mut Vec<Packet>) -> bool {
        let (stream, time_base) = (self.stream, self.time_base);
        packets
            .drain(..)
            .all(|packet| self.encoded.send(EncodedPacket { packet, stream, time_base }).is_ok())
    }
}

/// The part of the input that remains after a series of trims.
pub(crate) fn kept_window(cuts: impl Iterator<Item = Window>) -> Window {
    cuts.fold(Window { start: 0, end: None }, |kept, cut| {
        let end = cut.end.map(|end| kept.start.saturating_add(end));
        Window {
            start: kept.start.saturating_add(cut.start),
            end: match (kept.end, end) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            },
        }
    })
}
