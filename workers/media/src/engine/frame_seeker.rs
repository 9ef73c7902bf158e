use ffapi_domain::media::{Micros, Source, StreamFacts};
use ffmpeg_the_third::{self as ffmpeg, Packet, frame};

use super::{decode::Decode, demux, frame_channel::StaticFrame, frame_format::FrameFormat};
use crate::{MediaError, ffi, ffi::Input, heartbeat::Heartbeat};

/// Takes single frames out of a film, wherever they are.
pub(super) struct FrameSeeker<'a> {
    input: Input,
    decode: Decode,
    source: Source,
    facts: StreamFacts,
    heartbeat: &'a Heartbeat<'a>,
    /// The newest frame, and the one behind it that was read to know that it is the newest.
    here: Option<(i64, frame::Frame)>,
    ahead: Option<(i64, frame::Frame)>,
    ended: bool,
}

/// Reading on is faster than searching, up to here; in microseconds.
const NEAR: i64 = 3_000_000;

impl<'a> FrameSeeker<'a> {
    pub(super) fn open(
        mut input: Input,
        facts: &StreamFacts,
        heartbeat: &'a Heartbeat<'a>,
    ) -> Result<Self, MediaError> {
        let source = Source { input: 0, stream: facts.index };
        let decode = Decode::open(&input, source, facts, 0)?;
        let own = usize::try_from(facts.index).unwrap_or(usize::MAX);
        let streams = input.context.streams().count();
        (0..streams).filter(|index| *index != own).for_each(|index| input.discard(index));
        Ok(Self {
            input,
            decode,
            source,
            facts: facts.clone(),
            heartbeat,
            here: None,
            ahead: None,
            ended: false,
        })
    }

    /// What the frames are like.
    pub(super) const fn shape(&self) -> &FrameFormat {
        &self.decode.shape
    }

    /// The frame that is shown at an instant; the last one if the film is over by then.
    pub(super) fn at(&mut self, time: Micros) -> Result<Option<StaticFrame>, MediaError> {
        let wanted = i64::try_from(time).unwrap_or(i64::MAX);
        let now = self.here.as_ref().map(|(at, _)| *at);
        let far = now.is_none_or(|now| wanted < now || wanted.saturating_sub(now) > NEAR);
        if far && (now.is_some() || time > 0) {
            self.search(time)?;
        }
        while self.ahead.as_ref().is_none_or(|(at, _)| *at <= wanted) {
            if let Some(next) = self.ahead.take() {
                self.here = Some(next);
            }
            match self.next()? {
                Some(next) => self.ahead = Some(next),
                None => break,
            }
        }
        let Some((_, frame)) = self.here.as_ref().or(self.ahead.as_ref()) else { return Ok(None) };
        let frame = ffi::share(frame).map_err(|error| MediaError::internal("a frame", error))?;
        let shape = self.shape().of(&frame);
        Ok(Some(StaticFrame { frame, shape }))
    }

    fn search(&mut self, time: Micros) -> Result<(), MediaError> {
        demux::seek(&mut self.input, time)?;
        self.decode = Decode::open(&self.input, self.source, &self.facts, 0)?;
        (self.here, self.ahead, self.ended) = (None, None, false);
        Ok(())
    }

    fn next(&mut self) -> Result<Option<(i64, frame::Frame)>, MediaError> {
        let stream = usize::try_from(self.source.stream).unwrap_or(usize::MAX);
        loop {
            self.heartbeat.beat();
            let mut frame = ffi::empty_frame();
            match self.decode.decoder.receive_frame(&mut frame) {
                Ok(()) => {
                    let (at, _) = self.decode.place_in_time(&mut frame);
                    return Ok(Some((at, frame)));
                }
                Err(ffmpeg::Error::InvalidData) => continue,
                Err(ffmpeg::Error::Eof) => return Ok(None),
                Err(_) if self.ended => return Ok(None),
                Err(_) => {}
            }
            let mut packet = Packet::empty();
            match packet.read(&mut self.input.context) {
                Ok(()) if packet.stream() == stream => {
                    // A damaged packet is skipped.
                    let _ = self.decode.decoder.send_packet(&packet);
                }
                Ok(()) => {}
                Err(_) => {
                    self.ended = true;
                    let _ = self.decode.decoder.send_eof();
                }
            }
        }
    }
}
