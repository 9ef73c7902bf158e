//! Channels that pass frames from one stage to the next.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use ffmpeg_the_third::frame;

use super::frame_format::FrameFormat;
use crate::{MediaError, ffi, heartbeat::Heartbeat};

/// What makes the frames of a stream.
pub(crate) trait FrameSource: Send {
    /// The next frame; `None` at the end.
    ///
    /// # Errors
    /// If the source fails.
    fn next(&mut self, heartbeat: &Heartbeat<'_>) -> Result<Option<frame::Frame>, MediaError>;
}

/// A message in the channel.
enum FrameMessage {
    Frame(frame::Frame),
    /// The source of all remaining frames: the receiver runs it itself.
    Source(Box<dyn FrameSource>),
}

/// The sending half.
pub(crate) struct FrameSender(SyncSender<FrameMessage>);

/// The receiving half: the frames of one stream.
pub(crate) struct FrameReceiver {
    pub(crate) shape: FrameFormat,
    messages: Receiver<FrameMessage>,
    source: Option<Box<dyn FrameSource>>,
}

impl FrameSender {
    /// Sends a frame, waiting for capacity; false if the receiver is closed.
    pub(crate) fn send(&self, frame: frame::Frame) -> bool {
        self.0.send(FrameMessage::Frame(frame)).is_ok()
    }

    /// Sends a new reference to a frame that other receivers get too.
    pub(crate) fn send_shared(&self, frame: &frame::Frame) -> bool {
        ffi::share(frame).is_ok_and(|frame| self.send(frame))
    }

    /// Moves a decoder to the receiver, which then decodes on its own thread.
    pub(crate) fn hand_over(self, decoder: impl FrameSource + 'static) {
        // Without a receiver the frames are not needed.
        let _ = self.0.send(FrameMessage::Source(Box::new(decoder)));
    }
}

impl FrameReceiver {
    /// A channel in which `capacity` frames can be queued (at least 1).
    pub(crate) fn new(capacity: usize, shape: FrameFormat) -> (FrameSender, Self) {
        let (send, messages) = sync_channel(capacity.max(1));
        (FrameSender(send), Self { shape, messages, source: None })
    }

    /// The next frame; `None` at the end.
    pub(crate) fn next(
        &mut self,
        heartbeat: &Heartbeat<'_>,
    ) -> Result<Option<frame::Frame>, MediaError> {
        if self.source.is_none() {
            match self.messages.recv() {
                Ok(FrameMessage::Frame(frame)) => return Ok(Some(frame)),
                Ok(FrameMessage::Source(source)) => self.source = Some(source),
                Err(_) => return Ok(None),
            }
        }
        match &mut self.source {
            Some(source) => source.next(heartbeat),
            None => Ok(None),
        }
    }
}

/// A single frame that is already decoded.
pub(crate) struct StaticFrame {
    pub(crate) frame: frame::Frame,
    pub(crate) shape: FrameFormat,
}

impl StaticFrame {
    /// The frame as a stream of one frame.
    pub(crate) fn feed(&self) -> FrameReceiver {
        let (sender, feed) = FrameReceiver::new(1, self.shape.clone());
        sender.send_shared(&self.frame);
        feed
    }
}
