use std::{
    ffi::CString,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::SyncSender,
    },
};

use ffmpeg_the_third::{self as ffmpeg, Packet, Rational, Rescale, encoder, frame};

use super::{
    MICROS, again, filtering::Filtering, frame_channel::FrameSender, frame_types::FrameTypePlan,
    progress::ProgressReporter,
};
use crate::{MediaError, ffi, heartbeat::Heartbeat};

/// A packet on its way to a muxer.
pub(super) struct EncodedPacket {
    pub(super) packet: Packet,
    /// Of the output.
    pub(super) stream: usize,
    pub(super) time_base: Rational,
}

/// Filters and encodes one stream of the output.
pub(super) struct Track<'env> {
    pub(super) filtering: Filtering<'env>,
    pub(super) encoder: encoder::Encoder,
    pub(super) time_base: Rational,
    pub(super) stream: usize,
    /// None for a pass that only looks.
    pub(super) coded: Option<SyncSender<EncodedPacket>>,
    pub(super) picture: bool,
    /// No more frames than these.
    pub(super) limit: Option<u64>,
    /// Where pictures of varying lengths end, in `time_base`.
    pub(super) until: Option<i64>,
    /// Keyframes at multiples of this, in microseconds.
    pub(super) keys_every: Option<i64>,
    /// Frames given to the encoder.
    pub(super) sent: Arc<AtomicU64>,
    /// Who looks at the frames that the encoder is given.
    pub(super) seen_by: Vec<FrameSender>,
    /// Who decides what kind each picture is.
    pub(super) cadence: FrameTypePlan,
}

impl Track<'_> {
    /// Encodes until the frames end or nobody wants more; answers what a first pass learned. A
    /// track that no muxer follows tells itself how far it is.
    pub(super) fn run(
        mut self,
        heartbeat: &Heartbeat<'_>,
        reporter: Option<&ProgressReporter<'_>>,
    ) -> Result<Option<CString>, MediaError> {
        let mut last = None;
        let mut shown = None;
        let mut next_key = 0;
        while let Some(frame) = self.filtering.next(heartbeat)? {
            let key = if self.picture {
                // Two pictures at one instant would not be a file that plays.
                let pts = frame.pts();
                if pts.is_none() || (last.is_some() && pts <= last) {
                    continue;
                }
                if let (Some(_), Some(pts)) = (self.until, pts) {
                    let gap = last.map_or(0, |last: i64| pts.saturating_sub(last));
                    shown = ffi::share(&frame).ok().map(|frame| (frame, pts, gap));
                }
                last = pts;
                let at = pts.unwrap_or(0).rescale(self.time_base, MICROS);
                let key = self.keys_every.is_some() && at >= next_key;
                if let Some(every) = self.keys_every.filter(|_| key) {
                    next_key = at.saturating_div(every).saturating_add(1).saturating_mul(every);
                }
                if let Some(reporter) = reporter {
                    reporter.reach(u64::try_from(at).unwrap_or(0));
                }
                key
            } else {
                false
            };
            self.cadence.take(frame, key);
            let wanted = self.encode_held(heartbeat, false)?;
            if !wanted {
                return Ok(None);
            }
            if self.limit.is_some_and(|limit| self.sent.load(Ordering::Relaxed) >= limit) {
                break;
            }
        }
        if !self.encode_held(heartbeat, true)? || !self.show_to_the_end(shown, heartbeat)? {
            return Ok(None);
        }
        // Whoever looks on has seen everything.
        self.seen_by.clear();
        self.encoder.send_eof().map_err(failed)?;
        self.pass_on()?;
        Ok(ffi::pass_statistics(&self.encoder))
    }

    /// Shows the last picture once more where it stands much longer than the one before it: most
    /// containers have no length of their own for what comes last. Not if there are enough pictures.
    fn show_to_the_end(
        &mut self,
        shown: Option<(frame::Frame, i64, i64)>,
        heartbeat: &Heartbeat<'_>,
    ) -> Result<bool, MediaError> {
        let (Some((mut frame, at, gap)), Some(until)) = (shown, self.until) else {
            return Ok(true);
        };
        let again = until.saturating_sub(gap);
        let full = self.limit.is_some_and(|limit| self.sent.load(Ordering::Relaxed) >= limit);
        if full || gap == 0 || again.saturating_sub(at) <= gap {
            return Ok(true);
        }
        frame.set_pts(Some(again));
        ffi::set_picture_kind(&mut frame, ffmpeg::picture::Type::None);
        self.encode(&frame, heartbeat)
    }

    /// Encodes those pictures whose kind is known; at the `end`, all that were held.
    fn encode_held(&mut self, heartbeat: &Heartbeat<'_>, end: bool) -> Result<bool, MediaError> {
        while let Some(frame) = self.cadence.next(end) {
            if !self.encode(&frame, heartbeat)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Encodes a frame; false once nobody wants what comes of it.
    fn encode(
        &mut self,
        frame: &frame::Frame,
        heartbeat: &Heartbeat<'_>,
    ) -> Result<bool, MediaError> {
        self.sent.fetch_add(1, Ordering::Relaxed);
        self.show(frame);
        self.encoder.send_frame(frame).map_err(failed)?;
        heartbeat.beat();
        self.pass_on()
    }

    /// Lets others see a frame; who has gone is forgotten.
    fn show(&mut self, frame: &frame::Frame) {
        self.seen_by.retain(|sender| sender.show(frame));
    }

    /// Passes on what is encoded; false once nobody wants it.
    fn pass_on(&mut self) -> Result<bool, MediaError> {
        loop {
            let mut packet = Packet::empty();
            match self.encoder.receive_packet(&mut packet) {
                Ok(()) => {}
                Err(ffmpeg::Error::Eof) => return Ok(true),
                Err(error) if again(error) => return Ok(true),
                Err(error) => return Err(failed(error)),
            }
            self.cadence.tell(&packet);
            let Some(to) = &self.coded else { continue };
            let (stream, time_base) = (self.stream, self.time_base);
            if to.send(EncodedPacket { packet, stream, time_base }).is_err() {
                return Ok(false);
            }
        }
    }
}

fn failed(error: ffmpeg::Error) -> MediaError {
    MediaError::internal("the encoder failed", error)
}
