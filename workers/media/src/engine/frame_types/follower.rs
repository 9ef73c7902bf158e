use std::{
    collections::BTreeMap,
    sync::mpsc::{Receiver, TryRecvError},
};

use ffmpeg_the_third::picture;

use super::Told;

/// What the encoder of another track has decided so far.
pub(super) struct Follower {
    told: Receiver<Told>,
    kinds: BTreeMap<i64, picture::Type>,
    /// The last two that no B picture reaches across.
    anchors: [i64; 2],
}

impl Follower {
    pub(super) const fn new(told: Receiver<Told>) -> Self {
        Self { told, kinds: BTreeMap::new(), anchors: [i64::MIN; 2] }
    }

    /// The kind of the picture at an instant, none if nothing will be told of it: that is the
    /// encoder's own choice. Nothing at all if it is not known yet; at the `end`, waits until it is.
    #[expect(clippy::option_option, reason = "not yet, never, and known")]
    pub(super) fn kind_at(&mut self, at: i64, end: bool) -> Option<Option<picture::Type>> {
        loop {
            self.kinds = self.kinds.split_off(&at);
            if let Some(kind) = self.kinds.remove(&at) {
                return Some(Some(kind));
            }
            if at < self.anchors[0] {
                return Some(None);
            }
            let told = if end {
                self.told.recv().map_err(|_| TryRecvError::Disconnected)
            } else {
                self.told.try_recv()
            };
            match told {
                Ok(told) => self.learn(told),
                Err(TryRecvError::Empty) => return None,
                Err(TryRecvError::Disconnected) => return Some(None),
            }
        }
    }

    fn learn(&mut self, (at, kind): Told) {
        self.kinds.insert(at, kind);
        if kind != picture::Type::B {
            // B pictures are told of after both that they lie between.
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
    fn a_kind_is_known_once_it_is_told() {
        let (tell, told) = channel();
        let mut follower = Follower::new(told);
        assert_eq!(follower.kind_at(0, false), None);
        tell.send((0, I)).unwrap();
        tell.send((2, P)).unwrap();
        assert_eq!(follower.kind_at(0, false), Some(Some(I)));
        assert_eq!(follower.kind_at(1, false), None);
        tell.send((1, B)).unwrap();
        assert_eq!(follower.kind_at(1, false), Some(Some(B)));
        assert_eq!(follower.kind_at(2, false), Some(Some(P)));
    }

    #[test]
    fn nothing_is_told_of_what_was_passed_over() {
        let (tell, told) = channel();
        let mut follower = Follower::new(told);
        tell.send((0, I)).unwrap();
        tell.send((4, P)).unwrap();
        assert_eq!(follower.kind_at(0, false), Some(Some(I)));
        assert_eq!(follower.kind_at(1, false), None);
        tell.send((8, P)).unwrap();
        assert_eq!(follower.kind_at(1, false), Some(None));
    }

    #[test]
    fn nothing_is_told_by_one_that_is_gone() {
        for end in [false, true] {
            let (tell, told) = channel();
            drop(tell);
            assert_eq!(Follower::new(told).kind_at(0, end), Some(None));
        }
    }
}
