use std::{
    ffi::CString,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::SyncSender,
    },
};

use ffmpeg_the_third::{self as ffmpeg, Packet, Rational, Rescale, encoder, frame};

use super::frame_types::{FrameTypePlan, Input, Keyframe, SourceTypes};
use crate::{
    MediaError, ffi,
    heartbeat::Heartbeat,
    pipeline::{
        encoded_packet::EncodedPacket, filtering::Filtering, frame_channel::FrameSender,
        progress::ProgressReporter,
    },
    units::MICROS,
};

/// Filters and encodes one stream of the output.
pub(crate) struct Track<'env> {
    pub(crate) filtering: Filtering<'env>,
    pub(crate) encoder: encoder::Encoder,
    pub(crate) time_base: Rational,
    pub(crate) stream: usize,
    /// `None` for an analysis pass without output.
    pub(crate) encoded: Option<SyncSender<EncodedPacket>>,
    pub(crate) kind: TrackKind,
    /// Maximum number of frames.
    pub(crate) limit: Option<u64>,
    /// End of a video of variable frame rate, in `time_base`.
    pub(crate) until: Option<i64>,
    /// Forces keyframes at multiples of this, in microseconds.
    pub(crate) keyframes_every: Option<i64>,
    /// Frames sent to the encoder.
    pub(crate) sent: Arc<AtomicU64>,
    /// Receive the same frames as the encoder.
    pub(crate) observers: Vec<FrameSender>,
    /// Decides the frame types.
    pub(crate) frame_types: FrameTypePlan,
    /// Used instead of `filtering` if that outputs nothing.
    pub(crate) silence: Option<Filtering<'env>>,
}

/// What the frames of a track are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TrackKind {
    Video,
    Audio,
}

impl<'env> Track<'env> {
    /// A track of video from its first to its last frame, whose packets are discarded.
    /// `time_base` is that of the frames and packets.
    pub(crate) fn video(
        filtering: Filtering<'env>,
        encoder: encoder::Encoder,
        time_base: Rational,
    ) -> Self {
        Self::new(TrackKind::Video, filtering, encoder, time_base)
    }

    /// The same for audio.
    pub(crate) fn audio(
        filtering: Filtering<'env>,
        encoder: encoder::Encoder,
        time_base: Rational,
    ) -> Self {
        Self::new(TrackKind::Audio, filtering, encoder, time_base)
    }

    fn new(
        kind: TrackKind,
        filtering: Filtering<'env>,
        encoder: encoder::Encoder,
        time_base: Rational,
    ) -> Self {
        Self {
            filtering,
            encoder,
            time_base,
            stream: 0,
            encoded: None,
            kind,
            limit: None,
            until: None,
            keyframes_every: None,
            sent: Arc::default(),
            observers: vec![],
            frame_types: FrameTypePlan::new(SourceTypes::Ignore),
            silence: None,
        }
    }
}

impl Track<'_> {
    /// Encodes until the frames end or the receiver is closed; without any frame, the encoder is not
    /// used. Returns the statistics of a first pass. `reporter` is for a track without a muxer, which would report its progress.
    pub(crate) fn run(
        mut self,
        heartbeat: &Heartbeat<'_>,
        reporter: Option<&ProgressReporter<'_>>,
    ) -> Result<Option<CString>, MediaError> {
        let mut last = None;
        let mut last_frame = None;
        let mut next_key = 0;
        while let Some(frame) = self.next_frame(heartbeat)? {
            let key = if self.kind == TrackKind::Video {
                // Frames with equal timestamps would make the file unplayable.
                let pts = frame.pts();
                if pts.is_none() || (last.is_some() && pts <= last) {
                    continue;
                }
                if let (Some(_), Some(pts)) = (self.until, pts) {
                    let gap = last.map_or(0, |last: i64| pts.saturating_sub(last));
                    last_frame = ffi::share(&frame).ok().map(|frame| (frame, pts, gap));
                }
                last = pts;
                let at = pts.unwrap_or(0).rescale(self.time_base, MICROS);
                let due = self.keyframes_every.filter(|_| at >= next_key);
                if let Some(every) = due {
                    next_key = at.saturating_div(every).saturating_add(1).saturating_mul(every);
                }
                if let Some(reporter) = reporter {
                    reporter.set_position(u64::try_from(at).unwrap_or(0));
                }
                due.map_or(Keyframe::Free, |_| Keyframe::Forced)
            } else {
                Keyframe::Free
            };
            self.frame_types.push(frame, key);
            let open = self.encode_held(heartbeat, Input::Continues)?;
            if !open {
                return Ok(None);
            }
            if self.limit.is_some_and(|limit| self.sent.load(Ordering::Relaxed) >= limit) {
                break;
            }
        }
        if !self.encode_held(heartbeat, Input::Ended)?
            || !self.extend_last_frame(last_frame, heartbeat)?
        {
            return Ok(None);
        }
        // The observers have received all frames.
        self.observers.clear();
        if self.sent.load(Ordering::Relaxed) == 0 {
            return Ok(None);
        }
        self.encoder.send_eof().map_err(failed)?;
        self.send_packets()?;
        Ok(ffi::pass_statistics(&self.encoder))
    }

    /// The next frame to encode: silence if there is no other.
    fn next_frame(
        &mut self,
        heartbeat: &Heartbeat<'_>,
    ) -> Result<Option<frame::Frame>, MediaError> {
        let frame = self.filtering.next(heartbeat)?;
        match self.silence.take() {
            Some(silence) if frame.is_none() => {
                self.filtering = silence;
                self.filtering.next(heartbeat)
            }
            _ => Ok(frame),
        }
    }

    /// Repeats the last frame near the end of the video if it lasts much longer than the one before
    /// it: most containers store no duration of the last frame. Does nothing once the limit is
    /// reached.
    fn extend_last_frame(
        &mut self,
        last_frame: Option<(frame::Frame, i64, i64)>,
        heartbeat: &Heartbeat<'_>,
    ) -> Result<bool, MediaError> {
        let (Some((mut frame, at, gap)), Some(until)) = (last_frame, self.until) else {
            return Ok(true);
        };
        // A single frame lasts as long as one of a common video, if nothing else is known.
        let gap = if gap == 0 { USUAL_FRAME.rescale(MICROS, self.time_base).max(1) } else { gap };
        let repeat_at = until.saturating_sub(gap);
        let full = self.limit.is_some_and(|limit| self.sent.load(Ordering::Relaxed) >= limit);
        if full || repeat_at.saturating_sub(at) <= gap {
            return Ok(true);
        }
        frame.set_pts(Some(repeat_at));
        ffi::set_frame_type(&mut frame, ffmpeg::picture::Type::None);
        self.encode(&frame, heartbeat)
    }

    /// Encodes the queued frames whose type is known; at the end of the input, all of them.
    fn encode_held(&mut self, heartbeat: &Heartbeat<'_>, input: Input) -> Result<bool, MediaError> {
        while let Some(frame) = self.frame_types.next(input) {
            if !self.encode(&frame, heartbeat)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Encodes a frame; false once the receiver of the packets is closed.
    fn encode(
        &mut self,
        frame: &frame::Frame,
        heartbeat: &Heartbeat<'_>,
    ) -> Result<bool, MediaError> {
        self.sent.fetch_add(1, Ordering::Relaxed);
        self.notify_observers(frame);
        self.encoder.send_frame(frame).map_err(failed)?;
        heartbeat.beat();
        self.send_packets()
    }

    /// Sends a frame to the observers, and removes those that are closed.
    fn notify_observers(&mut self, frame: &frame::Frame) {
        self.observers.retain(|sender| sender.send_shared(frame));
    }

    /// Sends the packets that are encoded; false once their receiver is closed.
    fn send_packets(&mut self) -> Result<bool, MediaError> {
        loop {
            let mut packet = Packet::empty();
            match self.encoder.receive_packet(&mut packet) {
                Ok(()) => {}
                Err(ffmpeg::Error::Eof) => return Ok(true),
                Err(error) if ffi::is_eagain(error) => return Ok(true),
                Err(error) => return Err(failed(error)),
            }
            self.frame_types.publish(&packet);
            let Some(to) = &self.encoded else { continue };
            let (stream, time_base) = (self.stream, self.time_base);
            if to.send(EncodedPacket { packet, stream, time_base }).is_err() {
                return Ok(false);
            }
        }
    }
}

/// Duration of a frame at 25 frames per second, in microseconds.
const USUAL_FRAME: i64 = 40_000;

fn failed(error: ffmpeg::Error) -> MediaError {
    MediaError::internal("the encoder failed", error)
}
