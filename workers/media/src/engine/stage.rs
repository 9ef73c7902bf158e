use std::sync::mpsc::{Receiver, SyncSender};

use ffmpeg_the_third::{self as ffmpeg, Packet, Rational, Rescale, codec, encoder, frame};
use nix::libc;

use crate::{MediaError, ffi, ffi::Input};

pub(super) const MICROS: Rational = Rational(1, 1_000_000);

/// A packet on its way to the muxer.
pub(super) struct Coded {
    pub(super) packet: Packet,
    /// Of the output.
    pub(super) stream: usize,
    pub(super) time_base: Rational,
}

/// True for "not now": feed more, or take more out.
pub(super) fn again(error: ffmpeg::Error) -> bool {
    matches!(error, ffmpeg::Error::Other { errno: libc::EAGAIN })
}

/// One stream's decoder, on a thread of its own.
pub(super) struct Decode<D> {
    pub(super) index: usize,
    pub(super) decoder: D,
    pub(super) time_base: Rational,
    /// The container's first instant, which counts as 0, in `time_base`.
    pub(super) origin: i64,
    /// Where the stream should end, as the input says; in microseconds.
    pub(super) expected_end: Option<i64>,
    pub(super) kind: &'static str,
    /// When the newest frame begins; in microseconds.
    last: Option<i64>,
}

/// What may be missing at the end of a stream that is whole.
const SLACK: i64 = 250_000;

impl<D: AsMut<codec::decoder::Opened> + Send> Decode<D> {
    pub(super) fn new(input: &Input, index: usize, kind: &'static str, decoder: D) -> Self {
        let stream = input.context.stream(index);
        let time_base = stream.as_ref().map_or(MICROS, ffmpeg::Stream::time_base);
        let origin = input.start_time().unwrap_or(0);
        let own = stream.as_ref().map(ffmpeg::Stream::duration).filter(|d| *d > 0);
        let own = own.map(|duration| duration.rescale(time_base, MICROS));
        // Without its own length, only the sole stream must be as long as the container.
        let sole = input.context.streams().count() == 1;
        let whole = Some(input.context.duration()).filter(|duration| sole && *duration > 0);
        Self {
            index,
            decoder,
            time_base,
            origin: origin.rescale(MICROS, time_base),
            expected_end: own.or(whole),
            kind,
            last: None,
        }
    }

    /// Decodes until the input ends or nobody wants more frames.
    pub(super) fn run(
        mut self,
        packets: &Receiver<Packet>,
        frames: &SyncSender<frame::Frame>,
    ) -> Result<(), MediaError> {
        let mut end = None;
        for packet in packets {
            match self.decoder.as_mut().send_packet(&packet) {
                Ok(()) => {}
                // A damaged packet is skipped; the end of the stream tells whether that mattered.
                Err(ffmpeg::Error::InvalidData) => continue,
                Err(error) if again(error) => {}
                Err(error) => return Err(self.failed(error)),
            }
            if !self.receive(frames, &mut end)? {
                return Ok(());
            }
        }
        if self.decoder.as_mut().send_eof().is_ok() && !self.receive(frames, &mut end)? {
            return Ok(());
        }
        self.check_end(end)
    }

    /// Passes on what is decoded; false once nobody wants it.
    fn receive(
        &mut self,
        frames: &SyncSender<frame::Frame>,
        end: &mut Option<i64>,
    ) -> Result<bool, MediaError> {
        loop {
            let mut frame = ffi::empty_frame();
            match self.decoder.as_mut().receive_frame(&mut frame) {
                Ok(()) => {}
                Err(ffmpeg::Error::Eof) => return Ok(true),
                Err(error) if again(error) => return Ok(true),
                Err(ffmpeg::Error::InvalidData) => continue,
                Err(error) => return Err(self.failed(error)),
            }
            let pts = frame.timestamp().map(|pts| pts.saturating_sub(self.origin));
            frame.set_pts(pts);
            if let Some(pts) = pts {
                let at = pts.rescale(self.time_base, MICROS);
                // A frame lasts about as long as the one before it did.
                let lasts = self.last.map_or(0, |last| at.saturating_sub(last)).max(0);
                self.last = Some(at);
                let until = at.saturating_add(lasts);
                *end = Some(end.map_or(until, |end| end.max(until)));
            }
            if frames.send(frame).is_err() {
                return Ok(false);
            }
        }
    }

    fn check_end(&self, end: Option<i64>) -> Result<(), MediaError> {
        let Some(end) = end else {
            return Err(MediaError::input(format!("the input's {} cannot be decoded", self.kind)));
        };
        let Some(expected) = self.expected_end else { return Ok(()) };
        if expected.saturating_sub(end) <= SLACK.max(expected / 50) {
            return Ok(());
        }
        let seconds = |micros: i64| {
            format!("{:.1}", std::time::Duration::from_micros(micros.unsigned_abs()).as_secs_f64())
        };
        Err(MediaError::input(format!(
            "the input is cut off or damaged: its {} ends after {} s of {} s; send it again whole",
            self.kind,
            seconds(end),
            seconds(expected)
        )))
    }

    fn failed(&self, error: ffmpeg::Error) -> MediaError {
        MediaError::input(format!("the input's {} cannot be decoded: {error}", self.kind))
    }
}

/// Passes on what is encoded; false once nobody wants it.
pub(super) fn pass_on(
    encoder: &mut encoder::Encoder,
    stream: usize,
    time_base: Rational,
    coded: &SyncSender<Coded>,
) -> Result<bool, MediaError> {
    loop {
        let mut packet = Packet::empty();
        match encoder.receive_packet(&mut packet) {
            Ok(()) => {}
            Err(ffmpeg::Error::Eof) => return Ok(true),
            Err(error) if again(error) => return Ok(true),
            Err(error) => return Err(MediaError::internal("the encoder failed", error)),
        }
        if coded.send(Coded { packet, stream, time_base }).is_err() {
            return Ok(false);
        }
    }
}
