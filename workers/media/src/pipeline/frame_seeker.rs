use ffapi_domain::media::{MediaFacts, Micros, Source, StreamFacts};
use ffmpeg_the_third::{self as ffmpeg, frame};

use super::{decode::Decode, frame_channel::StaticFrame, frame_format::FrameFormat, seek};
use crate::{
    MediaError,
    ffi::{self, Input},
    heartbeat::Heartbeat,
};

/// Extracts single frames of a video at any time.
pub(crate) struct FrameSeeker<'a> {
    input: Input,
    decode: Decode,
    source: Source,
    facts: StreamFacts,
    /// True if the clock of the input restarts.
    joined: bool,
    heartbeat: &'a Heartbeat<'a>,
    /// The frame at the current position with its time in microseconds, and the one that follows
    /// it.
    current: Option<(i64, frame::Frame)>,
    following: Option<(i64, frame::Frame)>,
    ended: bool,
}

/// Up to this distance, in microseconds, decoding forward is faster than seeking.
const MAX_READ_AHEAD: i64 = 3_000_000;

impl<'a> FrameSeeker<'a> {
    pub(crate) fn open(
        mut input: Input,
        file: &MediaFacts,
        facts: &StreamFacts,
        heartbeat: &'a Heartbeat<'a>,
    ) -> Result<Self, MediaError> {
        let source = Source { input: 0, stream: facts.index };
        let decode = Decode::open(&input, source, facts, 0)?;
        let wanted = usize::try_from(facts.index).unwrap_or(usize::MAX);
        let streams = input.context.streams().count();
        (0..streams).filter(|index| *index != wanted).for_each(|index| input.discard(index));
        Ok(Self {
            input,
            decode,
            source,
            facts: facts.clone(),
            joined: file.joined,
            heartbeat,
            current: None,
            following: None,
            ended: false,
        })
    }

    /// The format of the frames.
    pub(crate) const fn shape(&self) -> &FrameFormat {
        &self.decode.shape
    }

    /// The frame that is shown at `time`; the last one if the video ends before.
    pub(crate) fn at(&mut self, time: Micros) -> Result<Option<StaticFrame>, MediaError> {
        let wanted = i64::try_from(time).unwrap_or(i64::MAX);
        let now = self.current.as_ref().map(|(at, _)| *at);
        let far = now.is_none_or(|now| wanted < now || wanted.saturating_sub(now) > MAX_READ_AHEAD);
        if far && (now.is_some() || time > 0) {
            self.seek(time)?;
        }
        while self.following.as_ref().is_none_or(|(at, _)| *at <= wanted) {
            if let Some(next) = self.following.take() {
                self.current = Some(next);
            }
            match self.next()? {
                Some(next) => self.following = Some(next),
                None => break,
            }
        }
        let Some((_, frame)) = self.current.as_ref().or(self.following.as_ref()) else {
            return Ok(None);
        };
        let frame = ffi::share(frame).map_err(|error| MediaError::internal("a frame", error))?;
        let shape = self.shape().of(&frame);
        Ok(Some(StaticFrame { frame, shape }))
    }

    fn seek(&mut self, time: Micros) -> Result<(), MediaError> {
        seek::seek(&mut self.input, time, self.joined)?;
        self.decode = Decode::open(&self.input, self.source, &self.facts, 0)?;
        (self.current, self.following, self.ended) = (None, None, false);
        Ok(())
    }

    fn next(&mut self) -> Result<Option<(i64, frame::Frame)>, MediaError> {
        let stream = usize::try_from(self.source.stream).unwrap_or(usize::MAX);
        loop {
            self.heartbeat.beat();
            let mut frame = ffi::empty_frame();
            match self.decode.decoder.receive_frame(&mut frame) {
                Ok(()) => {
                    let at = self.decode.assign_time(&mut frame);
                    return Ok(Some((at, frame)));
                }
                Err(ffmpeg::Error::InvalidData) => continue,
                Err(ffmpeg::Error::Eof) => return Ok(None),
                Err(_) if self.ended => return Ok(None),
                Err(_) => {}
            }
            match self.input.packet() {
                // An empty packet repeats the frame before it.
                Ok(Some(packet)) if packet.stream() == stream && packet.size() > 0 => {
                    // A damaged packet is skipped.
                    let _ = self.decode.decoder.send_packet(&packet);
                }
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => {
                    self.ended = true;
                    let _ = self.decode.decoder.send_eof();
                }
            }
        }
    }
}
