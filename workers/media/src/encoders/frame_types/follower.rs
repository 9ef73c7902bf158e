use std::{
    collections::BTreeMap,
    sync::mpsc::{Receiver, TryRecvError},
};

use ffmpeg_the_third::picture;

use super::frame_type::{FrameType, Input};

/// What decides the type of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// The encoder of the other track decided on this type.
    Type(picture::Type),
    /// The own encoder: no type will be received for this frame.
    Encoder,
}

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

    /// The decision about the frame at an instant; `None` if it is not known yet. At the end of the
    /// input, waits until it is.
    pub(super) fn kind_at(&mut self, at: i64, input: Input) -> Option<Decision> {
        loop {
            self.known = self.known.split_off(&at);
            if let Some(kind) = self.known.remove(&at) {
                return Some(Decision::Type(kind));
            }
            if at < self.anchors[0] {
                return Some(Decision::Encoder);
            }
            let received = match input {
                Input::Ended => self.types.recv().map_err(|_| TryRecvError::Disconnected),
                Input::Continues => self.types.try_recv(),
            };
            match received {
                Ok(frame_type) => self.add(frame_type),
                Err(TryRecvError::Empty) => return None,
                Err(TryRecvError::Disconnected) => return Some(Decision::Encoder),
            }
        }
    }

    fn add(&mut self, FrameType { at, kind }: FrameType) {
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
        assert_eq!(follower.kind_at(0, Input::Continues), None);
        sender.send(FrameType { at: 0, kind: I }).unwrap();
        sender.send(FrameType { at: 2, kind: P }).unwrap();
        assert_eq!(follower.kind_at(0, Input::Continues), Some(Decision::Type(I)));
        assert_eq!(follower.kind_at(1, Input::Continues), None);
        sender.send(FrameType { at: 1, kind: B }).unwrap();
        assert_eq!(follower.kind_at(1, Input::Continues), Some(Decision::Type(B)));
        assert_eq!(follower.kind_at(2, Input::Continues), Some(Decision::Type(P)));
    }

    #[test]
    fn a_frame_that_the_leader_skipped_has_no_type() {
        let (sender, receiver) = channel();
        let mut follower = Follower::new(receiver);
        sender.send(FrameType { at: 0, kind: I }).unwrap();
        sender.send(FrameType { at: 4, kind: P }).unwrap();
        assert_eq!(follower.kind_at(0, Input::Continues), Some(Decision::Type(I)));
        assert_eq!(follower.kind_at(1, Input::Continues), None);
        sender.send(FrameType { at: 8, kind: P }).unwrap();
        assert_eq!(follower.kind_at(1, Input::Continues), Some(Decision::Encoder));
    }

    #[test]
    fn no_types_are_expected_after_the_leader_has_ended() {
        for input in [Input::Continues, Input::Ended] {
            let (sender, receiver) = channel();
            drop(sender);
            assert_eq!(Follower::new(receiver).kind_at(0, input), Some(Decision::Encoder));
        }
    }
}
