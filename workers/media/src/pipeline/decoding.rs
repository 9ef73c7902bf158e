use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use ffmpeg_the_third::{self as ffmpeg, frame};
use nix::libc;

use super::{
    decode::Decode,
    frame_channel::{FrameSender, FrameSource},
    packet_channel,
};
use crate::{MediaError, ffi, heartbeat::Heartbeat, units::MICROS};

/// A decoder and the packets that it reads.
pub(crate) struct Decoding {
    decode: Decode,
    packets: packet_channel::Receiver,
    progress: Decoded,
    drained: bool,
    /// Counts the duration of the decoded audio samples, in microseconds.
    audio_counter: Option<Arc<AtomicU64>>,
}

/// What a decoder made of its packets.
#[derive(Debug, Clone, Copy, Default)]
struct Decoded {
    packets: u64,
    /// Packets whose frames are presented as a whole.
    presented: u64,
    /// Packets that could not be decoded.
    damaged: u64,
    /// Packets that were incomplete in the input.
    incomplete: u64,
    frames: u64,
}

impl Decoding {
    /// A decoder that adds the duration of its samples to `audio_counter`, if there is one.
    pub(crate) fn new(
        decode: Decode,
        packets: packet_channel::Receiver,
        audio_counter: Option<Arc<AtomicU64>>,
    ) -> Self {
        Self { decode, packets, progress: Decoded::default(), drained: false, audio_counter }
    }

    /// Decodes until the input ends or all receivers are closed.
    pub(crate) fn run(
        mut self,
        mut senders: Vec<FrameSender>,
        heartbeat: &Heartbeat<'_>,
    ) -> Result<(), MediaError> {
        while !senders.is_empty() {
            let Some(frame) = self.next(heartbeat)? else { break };
            let last = senders.pop();
            senders.retain(|sender| sender.send_shared(&frame));
            senders.extend(last.filter(|sender| sender.send(frame)));
        }
        Ok(())
    }

    fn count_audio(&self, frame: &frame::Frame) {
        if let Some(counter) = &self.audio_counter {
            let duration = ffi::lasts(frame, MICROS).and_then(|time| time.try_into().ok());
            counter.fetch_add(duration.unwrap_or(0), Ordering::Relaxed);
        }
    }

    /// Notes that the decoder returns no further frame.
    const fn end(&mut self) {
        self.drained = true;
        self.decode.audio_clock.end();
    }

    /// Sends the decoder its next packet, or the end of the stream.
    fn feed(&mut self, heartbeat: &Heartbeat<'_>) -> Result<(), MediaError> {
        heartbeat.beat();
        let Some(packet) = self.packets.next() else {
            if self.decode.decoder.send_eof().is_err() {
                self.end();
            }
            return Ok(());
        };
        // An empty packet repeats the frame before it.
        if packet.size() == 0 {
            return Ok(());
        }
        self.progress.packets = self.progress.packets.saturating_add(1);
        if ffi::is_incomplete(&packet) {
            self.progress.incomplete = self.progress.incomplete.saturating_add(1);
        }
        if !ffi::is_discarded(&packet) {
            self.progress.presented = self.progress.presented.saturating_add(1);
        }
        match self.decode.decoder.send_packet(&packet) {
            Ok(()) => Ok(()),
            Err(error) if ffi::is_eagain(error) => Ok(()),
            Err(error) => self.skip(error),
        }
    }

    /// Goes on after damage, as players do.
    fn skip(&mut self, error: ffmpeg::Error) -> Result<(), MediaError> {
        if matches!(error, ffmpeg::Error::Other { errno: libc::ENOMEM }) {
            let what = format!("decoding the input's {}", self.decode.kind);
            return Err(MediaError::internal(&what, error));
        }
        self.progress.damaged = self.progress.damaged.saturating_add(1);
        Ok(())
    }
}

impl FrameSource for Decoding {
    /// The next frame; `None` at the end. Damaged packets are skipped.
    ///
    /// # Errors
    /// `invalid_input` if nothing, or less than half of the stream, could be decoded.
    fn next(&mut self, heartbeat: &Heartbeat<'_>) -> Result<Option<frame::Frame>, MediaError> {
        if let Some(frame) = self.decode.standing.following() {
            return Ok(Some(frame));
        }
        loop {
            if let Some(frame) = self.decode.placed_audio() {
                return Ok(Some(frame));
            }
            if self.drained {
                break;
            }
            let mut frame = ffi::empty_frame();
            match self.decode.decoder.receive_frame(&mut frame) {
                Ok(()) => {
                    self.progress.frames = self.progress.frames.saturating_add(1);
                    if self.decode.is_audio() {
                        self.count_audio(&frame);
                        self.decode.hold_audio(frame);
                        continue;
                    }
                    self.decode.source_encoder.inspect(&mut frame);
                    let at = self.decode.assign_time(&mut frame);
                    let time_base = self.decode.shape.time_base();
                    return Ok(Some(self.decode.standing.pass(frame, at, time_base)));
                }
                Err(ffmpeg::Error::Eof) => self.end(),
                Err(error) if ffi::is_eagain(error) => self.feed(heartbeat)?,
                Err(error) => self.skip(error)?,
            }
        }
        if let Some(error) = self.packets.error() {
            return Err(error);
        }
        self.progress.check(self.decode.kind)?;
        for note in self.progress.notes(self.decode.kind) {
            heartbeat.note(note);
        }
        (self.progress.damaged, self.progress.incomplete) = (0, 0);
        Ok(self.decode.standing.last(self.decode.shape.time_base()))
    }
}

impl Decoded {
    /// What was lost, if anything was.
    fn notes(self, kind: &str) -> impl Iterator<Item = String> {
        let Self { packets, damaged, incomplete, .. } = self;
        let of = move |count: u64, what: &str| {
            (count > 0)
                .then(|| format!("{count} of {packets} packets of the input's {kind} are {what}"))
        };
        let lost = [of(incomplete, "incomplete"), of(damaged, "damaged, and skipped")];
        lost.into_iter().flatten()
    }

    fn check(self, kind: &str) -> Result<(), MediaError> {
        let Self { packets, presented, damaged, frames, .. } = self;
        // Nothing but padding is silence.
        let is_padding = packets > 0 && presented == 0 && damaged == 0;
        if frames == 0 && !is_padding {
            let damage = if packets == 0 { "it has no packets" } else { "it is damaged" };
            return Err(MediaError::input(format!(
                "the input's {kind} cannot be decoded: {damage}"
            )));
        }
        // A packet of audio may have many frames, and one of video may have only a field.
        if damaged > 0 && frames.saturating_mul(2) < presented {
            return Err(MediaError::input(format!(
                "the input is damaged: only {frames} of {presented} frames of its {kind} can be \
                 decoded"
            )));
        }
        Ok(())
    }
}
