//! How frames pass from one stage to the next.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use ffmpeg_the_third::frame;

use super::{decode::Decoding, shape::Shape};
use crate::{MediaError, ffi, pulse::Pulse};

/// What goes through a feed.
enum Given {
    Frame(frame::Frame),
    /// Everything that is still to come, to be decoded by whoever takes it.
    Rest(Box<Decoding>),
}

/// The end of a feed that frames are put into.
pub(super) struct Giver(SyncSender<Given>);

/// Frames of one stream, as they come.
pub(super) struct Feed {
    pub(super) shape: Shape,
    given: Receiver<Given>,
    rest: Option<Box<Decoding>>,
}

impl Giver {
    /// Passes a frame on once there is room; false if nobody wants it any more.
    pub(super) fn give(&self, frame: frame::Frame) -> bool {
        self.0.send(Given::Frame(frame)).is_ok()
    }

    /// Passes a frame on that others see too.
    pub(super) fn show(&self, frame: &frame::Frame) -> bool {
        ffi::share(frame).is_ok_and(|frame| self.give(frame))
    }

    /// Leaves the decoding to the taker.
    pub(super) fn hand_over(self, rest: Decoding) {
        // Nobody takes it, nobody misses it.
        let _ = self.0.send(Given::Rest(Box::new(rest)));
    }
}

impl Feed {
    /// A feed in which `room` frames can wait, and the end that they are put into.
    pub(super) fn new(room: usize, shape: Shape) -> (Giver, Self) {
        let (send, given) = sync_channel(room.max(1));
        (Giver(send), Self { shape, given, rest: None })
    }

    /// The next frame; none at the end.
    pub(super) fn next(&mut self, pulse: &Pulse<'_>) -> Result<Option<frame::Frame>, MediaError> {
        if self.rest.is_none() {
            match self.given.recv() {
                Ok(Given::Frame(frame)) => return Ok(Some(frame)),
                Ok(Given::Rest(rest)) => self.rest = Some(rest),
                Err(_) => return Ok(None),
            }
        }
        match &mut self.rest {
            Some(rest) => rest.next(pulse),
            None => Ok(None),
        }
    }
}

/// A frame that is known already.
pub(super) struct Still {
    pub(super) frame: frame::Frame,
    pub(super) shape: Shape,
}

impl Still {
    /// The frame as a stream of its own.
    pub(super) fn feed(&self) -> Feed {
        let (giver, feed) = Feed::new(1, self.shape.clone());
        giver.show(&self.frame);
        feed
    }
}
