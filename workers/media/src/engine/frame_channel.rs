//! How frames pass from one stage to the next.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use ffmpeg_the_third::frame;

use super::{decode::Decoding, frame_format::FrameFormat};
use crate::{MediaError, ffi, heartbeat::Heartbeat};

/// What goes through a feed.
enum FrameMessage {
    Frame(frame::Frame),
    /// Everything that is still to come, to be decoded by whoever takes it.
    Rest(Box<Decoding>),
}

/// The end of a feed that frames are put into.
pub(super) struct FrameSender(SyncSender<FrameMessage>);

/// Frames of one stream, as they come.
pub(super) struct FrameReceiver {
    pub(super) shape: FrameFormat,
    given: Receiver<FrameMessage>,
    rest: Option<Box<Decoding>>,
}

impl FrameSender {
    /// Passes a frame on once there is room; false if nobody wants it any more.
    pub(super) fn give(&self, frame: frame::Frame) -> bool {
        self.0.send(FrameMessage::Frame(frame)).is_ok()
    }

    /// Passes a frame on that others see too.
    pub(super) fn show(&self, frame: &frame::Frame) -> bool {
        ffi::share(frame).is_ok_and(|frame| self.give(frame))
    }

    /// Leaves the decoding to the taker.
    pub(super) fn hand_over(self, rest: Decoding) {
        // Nobody takes it, nobody misses it.
        let _ = self.0.send(FrameMessage::Rest(Box::new(rest)));
    }
}

impl FrameReceiver {
    /// A feed in which `room` frames can wait, and the end that they are put into.
    pub(super) fn new(room: usize, shape: FrameFormat) -> (FrameSender, Self) {
        let (send, given) = sync_channel(room.max(1));
        (FrameSender(send), Self { shape, given, rest: None })
    }

    /// The next frame; none at the end.
    pub(super) fn next(
        &mut self,
        heartbeat: &Heartbeat<'_>,
    ) -> Result<Option<frame::Frame>, MediaError> {
        if self.rest.is_none() {
            match self.given.recv() {
                Ok(FrameMessage::Frame(frame)) => return Ok(Some(frame)),
                Ok(FrameMessage::Rest(rest)) => self.rest = Some(rest),
                Err(_) => return Ok(None),
            }
        }
        match &mut self.rest {
            Some(rest) => rest.next(heartbeat),
            None => Ok(None),
        }
    }
}

/// A frame that is known already.
pub(super) struct StaticFrame {
    pub(super) frame: frame::Frame,
    pub(super) shape: FrameFormat,
}

impl StaticFrame {
    /// The frame as a stream of its own.
    pub(super) fn feed(&self) -> FrameReceiver {
        let (sender, feed) = FrameReceiver::new(1, self.shape.clone());
        sender.show(&self.frame);
        feed
    }
}
