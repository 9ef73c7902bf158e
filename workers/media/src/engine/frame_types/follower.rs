use std::{
    collections::BTreeMap,
    sync::mpsc::{Receiver, TryRecvError},
};

use ffmpeg_the_third::picture;

use super::FrameType;

/// The frame types that the encoder of another track has decided so far.
pub(super) struct Follower {
    types: Receiver<FrameType>,
    known: BTreeMap<i64, picture::Type>,
    /// Times of the last two I or P frames, in the order of decoding.
    anchors: [i64; 2],
}

impl Follower {
    pub(super) const fn new(types: Receiver<FrameType>) -> Self {
        Self { types, known: BTreeMap::new(), anchors: [i64::MIN; 2] }
    }

    /// The type of the frame at an instant. `Some(None)` if none will be received for it: the
    /// encoder chooses. `None` if it is not known yet; at the `end`, waits until it is.
    #[expect(clippy::option_option, reason = "not known yet, never known, and known")]
    pub(super) fn kind_at(&mut self, at: i64, end: bool) -> Option<Option<picture::Type>> {
        loop {
            self.known = self.known.split_off(&at);
            if let Some(kind) = self.known.remove(&at) {
                return Some(Some(kind));
            }
            if at < self.anchors[0] {
                return Some(None);
            }
            let received = if end {
                self.types.recv().map_err(|_| TryRecvError::Disconnected)
            } else {
                self.types.try_recv()
            };
            match received {
                Ok(frame_type) => self.add(frame_type),
                Err(TryRecvError::Empty) => return None,
                Err(TryRecvError::Disconnected) => return Some(None),
            }
        }
    }

    fn add(&mut self, (at, kind): FrameType) {
        self.known.insert(at, kind);
        if kind != picture::Type::B {
            // B frames are received after the two frames that they lie between.
            self.anchors = [self.anchors[1], at];
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use picture::Type::{B, I, P};

    use super::*;

    #[test]
    fn a_type_is_known_once_it_is_received() {
        let (sender, receiver) = channel();
        let mut follower = Follower::new(receiver);
        assert_eq!(follower.kind_at(0, false), None);
        sender.send((0, I)).unwrap();
        sender.send((2, P)).unwrap();
        assert_eq!(follower.kind_at(0, false), Some(Some(I)));
        assert_eq!(follower.kind_at(1, false), None);
        sender.send((1, B)).unwrap();
        assert_eq!(follower.kind_at(1, false), Some(Some(B)));
        assert_eq!(follower.kind_at(2, false), Some(Some(P)));
    }

    #[test]
    fn a_frame_that_the_leader_skipped_has_no_type() {
        let (sender, receiver) = channel();
        let mut follower = Follower::new(receiver);
        sender.send((0, I)).unwrap();
        sender.send((4, P)).unwrap();
        assert_eq!(follower.kind_at(0, false), Some(Some(I)));
        assert_eq!(follower.kind_at(1, false), None);
        sender.send((8, P)).unwrap();
        assert_eq!(follower.kind_at(1, false), Some(None));
    }

    #[test]
    fn no_types_are_expected_after_the_leader_has_ended() {
        for end in [false, true] {
            let (sender, receiver) = channel();
            drop(sender);
            assert_eq!(Follower::new(receiver).kind_at(0, end), Some(None));
        }
    }
}
