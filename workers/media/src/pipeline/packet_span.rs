use ffapi_domain::media::Micros;
use ffmpeg_the_third::{Packet, Rational, Rescale};

use crate::units::MICROS;

/// The time that packets cover: from the start of the first to the end of the last one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct PacketSpan {
    /// In microseconds.
    bounds: Option<(i64, i64)>,
}

impl PacketSpan {
    /// Extends the span to a packet whose timestamps are in `time_base`.
    pub(crate) fn include(&mut self, packet: &Packet, time_base: Rational) {
        let Some(pts) = packet.pts() else { return };
        let start = pts.rescale(time_base, MICROS);
        let end = pts.saturating_add(packet.duration()).rescale(time_base, MICROS);
        let (first, last) = self.bounds.unwrap_or((start, end));
        self.bounds = Some((first.min(start), last.max(end)));
    }

    /// The duration, without what lies before zero: players do not present that.
    pub(crate) fn duration(self) -> Micros {
        let (start, end) = self.bounds.unwrap_or_default();
        Micros::try_from(end.saturating_sub(start.max(0))).unwrap_or(0)
    }

    /// The whole duration.
    pub(crate) fn whole(self) -> Micros {
        let (start, end) = self.bounds.unwrap_or_default();
        Micros::try_from(end.saturating_sub(start)).unwrap_or(0)
    }
}
