//! Which pictures are I, P or B: looked for once where a film is encoded in several sizes.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::mpsc::{Receiver, Sender, TryRecvError, channel},
};

use ffmpeg_the_third::{Packet, codec::packet::side_data, frame, picture};

use crate::ffi;

/// Who decides on the kinds of a track's pictures.
pub(super) enum Cadence {
    /// Its encoder.
    Own,
    /// Its encoder, for others too.
    Lead(Vec<Sender<Told>>),
    /// The encoder of another track.
    Follow(Follower),
}

/// The kind of the picture at an instant.
pub(super) type Told = (i64, picture::Type);

impl Cadence {
    /// One that leads, and those that follow it: given pictures, and asked for keyframes, at the same
    /// instants.
    pub(super) fn shared(followers: usize) -> (Self, Vec<Self>) {
        let (tell, follow) = (0..followers)
            .map(|_| {
                let (tell, told) = channel();
                (tell, Self::Follow(Follower::new(told)))
            })
            .unzip();
        (Self::Lead(tell), follow)
    }

    /// Tells those who follow what a picture became.
    pub(super) fn tell(&self, packet: &Packet) {
        let Self::Lead(followers) = self else { return };
        let Some(told) = packet.pts().zip(kind(packet)) else { return };
        for follower in followers {
            // Who is gone follows nobody.
            let _ = follower.send(told);
        }
    }
}

/// Pictures that wait for their kind: as many as the encoder that leads looks ahead.
pub(super) struct Follower {
    told: Receiver<Told>,
    kinds: BTreeMap<i64, picture::Type>,
    held: VecDeque<frame::Frame>,
    /// The last two that no B picture reaches across.
    anchors: [i64; 2],
}

impl Follower {
    const fn new(told: Receiver<Told>) -> Self {
        Self { told, kinds: BTreeMap::new(), held: VecDeque::new(), anchors: [i64::MIN; 2] }
    }

    pub(super) fn hold(&mut self, frame: frame::Frame) {
        self.held.push_back(frame);
    }

    /// The next picture, once its kind is known; at the `end`, waits for that. What nothing is told
    /// of any more is the encoder's own choice.
    pub(super) fn next(&mut self, end: bool) -> Option<frame::Frame> {
        let at = self.held.front()?.pts()?;
        let kind = loop {
            self.kinds = self.kinds.split_off(&at);
            if let Some(kind) = self.kinds.remove(&at) {
                break Some(kind);
            }
            if at < self.anchors[0] {
                break None;
            }
            let told = if end {
                self.told.recv().map_err(|_| TryRecvError::Disconnected)
            } else {
                self.told.try_recv()
            };
            match told {
                Ok(told) => self.learn(told),
                Err(TryRecvError::Empty) => return None,
                Err(TryRecvError::Disconnected) => break None,
            }
        };
        let mut frame = self.held.pop_front()?;
        if let Some(kind) = kind {
            ffi::set_picture_kind(&mut frame, kind);
        }
        Some(frame)
    }

    fn learn(&mut self, (at, kind): Told) {
        self.kinds.insert(at, kind);
        if kind != picture::Type::B {
            // B pictures are told of after both that they lie between.
            self.anchors = [self.anchors[1], at];
        }
    }
}

/// What kind of picture an encoder says that it made.
fn kind(packet: &Packet) -> Option<picture::Type> {
    /// In what an encoder tells of a packet; its values are those of `AVPictureType`.
    const AT: usize = 4;
    let told = packet.side_data().find(|data| data.kind() == side_data::Type::QualityStats)?;
    match told.data().get(AT)? {
        1 => Some(picture::Type::I),
        2 => Some(picture::Type::P),
        3 => Some(picture::Type::B),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(at: i64) -> frame::Frame {
        let mut frame = ffi::empty_frame();
        frame.set_pts(Some(at));
        frame
    }

    fn follower(held: i64) -> (Sender<Told>, Follower) {
        let (tell, told) = channel();
        let mut follower = Follower::new(told);
        (0..held).for_each(|at| follower.hold(picture(at)));
        (tell, follower)
    }

    #[test]
    fn a_picture_waits_until_its_kind_is_told() {
        let (tell, mut follower) = follower(3);
        assert!(follower.next(false).is_none());
        tell.send((0, picture::Type::I)).unwrap();
        tell.send((2, picture::Type::P)).unwrap();
        assert_eq!(follower.next(false).and_then(|frame| frame.pts()), Some(0));
        assert!(follower.next(false).is_none());
        tell.send((1, picture::Type::B)).unwrap();
        assert_eq!(follower.next(false).and_then(|frame| frame.pts()), Some(1));
        assert_eq!(follower.next(false).and_then(|frame| frame.pts()), Some(2));
    }

    #[test]
    fn a_picture_that_was_passed_over_waits_no_longer() {
        let (tell, mut follower) = follower(2);
        tell.send((0, picture::Type::I)).unwrap();
        tell.send((4, picture::Type::P)).unwrap();
        assert!(follower.next(false).is_some());
        assert!(follower.next(false).is_none());
        tell.send((8, picture::Type::P)).unwrap();
        assert_eq!(follower.next(false).and_then(|frame| frame.pts()), Some(1));
    }

    #[test]
    fn without_the_one_that_led_every_picture_goes_on() {
        for end in [false, true] {
            let (tell, mut follower) = follower(3);
            drop(tell);
            assert_eq!(std::iter::from_fn(|| follower.next(end)).count(), 3);
        }
    }
}
