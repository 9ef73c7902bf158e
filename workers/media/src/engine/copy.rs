use std::sync::mpsc::SyncSender;

use ffapi_domain::media::Window;
use ffmpeg_the_third::{Rational, Rescale};

use super::{MICROS, track::EncodedPacket, weighed};
use crate::heartbeat::Heartbeat;

/// Passes on a stream's packets as they are, moved in time.
pub(super) struct Copying {
    pub(super) packets: weighed::Receiver,
    pub(super) coded: SyncSender<EncodedPacket>,
    pub(super) stream: usize,
    pub(super) time_base: Rational,
    /// The container's first instant, in `time_base`.
    pub(super) origin: i64,
    /// What is kept, in the input's time.
    pub(super) keep: Window,
    /// True if packets before the cut may be kept for those after it: the container hides them.
    pub(super) hides: bool,
}

impl Copying {
    /// Passes on until the packets or the window end, or nobody wants more.
    pub(super) fn run(self, heartbeat: &Heartbeat<'_>) {
        let time =
            |micros: u64| i64::try_from(micros).unwrap_or(i64::MAX).rescale(MICROS, self.time_base);
        let start = time(self.keep.start);
        let end = self.keep.end.map(time);
        while let Some(mut packet) = self.packets.next() {
            heartbeat.beat();
            let moved = |time: i64| time.saturating_sub(self.origin).saturating_sub(start);
            let pts = packet.pts().map(moved);
            let dts = packet.dts().map(moved);
            let at = dts.or(pts).unwrap_or(0);
            let until = pts.or(dts).unwrap_or(0).saturating_add(packet.duration());
            if end.is_some_and(|end| at >= end.saturating_sub(start)) {
                return;
            }
            if until <= 0 && self.keep.start > 0 && !self.hides {
                continue;
            }
            packet.set_pts(pts);
            packet.set_dts(dts);
            let (stream, time_base) = (self.stream, self.time_base);
            if self.coded.send(EncodedPacket { packet, stream, time_base }).is_err() {
                return;
            }
        }
    }
}

/// The part of the input that a row of cuts leaves.
pub(super) fn kept(cuts: impl Iterator<Item = Window>) -> Window {
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
