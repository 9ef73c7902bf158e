//! Frame types (I, P, B): reused from the source or from another encoder instead of decided again.

mod follower;
mod source;

use std::{
    collections::VecDeque,
    sync::mpsc::{Sender, channel},
};

use ffmpeg_the_third::{Packet, codec::packet::side_data, frame, picture};

use self::follower::Follower;
pub(crate) use self::source::is_frame_type_warning;
pub(super) use self::source::{SourceEncoder, can_reuse};
use crate::ffi;

/// What decides the frame types of a track.
pub(super) struct FrameTypePlan {
    /// True if P and B frames of the source keep their type, where it is usable.
    reuse_source: bool,
    sharing: Sharing,
    /// Frames that wait for their type: as many as the lookahead of the leading encoder.
    held: VecDeque<frame::Frame>,
}

/// How a track shares the decisions of an encoder.
enum Sharing {
    /// Its encoder decides for this track only.
    Independent,
    /// The decisions of its encoder are sent to other tracks.
    Lead(Vec<Sender<FrameType>>),
    /// The encoder of another track decides.
    Follow(Follower),
}

/// The presentation time of a frame, and its type.
type FrameType = (i64, picture::Type);

impl FrameTypePlan {
    /// Reuses the types of the source if `reuse_source`; otherwise the encoder decides.
    pub(super) const fn new(reuse_source: bool) -> Self {
        Self { reuse_source, sharing: Sharing::Independent, held: VecDeque::new() }
    }

    /// Makes `leader` decide for `followers`. All of them must get frames, and keyframe requests,
    /// at the same instants.
    pub(super) fn share<'a>(leader: &mut Self, followers: impl Iterator<Item = &'a mut Self>) {
        let senders = followers.map(|follower| {
            let (sender, receiver) = channel();
            follower.sharing = Sharing::Follow(Follower::new(receiver));
            sender
        });
        leader.sharing = Sharing::Lead(senders.collect());
    }

    /// Queues the next frame of the track; as a keyframe if `key`.
    pub(super) fn push(&mut self, mut frame: frame::Frame, key: bool) {
        let source_type = ffi::frame_type(&frame);
        let known = self.reuse_source && source_type != picture::Type::None;
        if known {
            // Then the tracks need not wait for each other.
            self.sharing = Sharing::Independent;
        }
        let kind = match source_type {
            _ if key => picture::Type::I,
            // A keyframe of the source need not be one here.
            kind @ (picture::Type::B | picture::Type::P) if known => kind,
            _ => picture::Type::None,
        };
        ffi::set_frame_type(&mut frame, kind);
        self.held.push_back(frame);
    }

    /// The next frame to encode, once its type is known; at the `end`, waits for it.
    pub(super) fn next(&mut self, end: bool) -> Option<frame::Frame> {
        let Sharing::Follow(follower) = &mut self.sharing else { return self.held.pop_front() };
        let kind = follower.kind_at(self.held.front()?.pts()?, end)?;
        let mut frame = self.held.pop_front()?;
        if let Some(kind) = kind {
            ffi::set_frame_type(&mut frame, kind);
        }
        Some(frame)
    }

    /// Sends the type of an encoded frame to the followers.
    pub(super) fn publish(&self, packet: &Packet) {
        let Sharing::Lead(followers) = &self.sharing else { return };
        let Some(frame_type) = packet.pts().zip(encoded_type(packet)) else { return };
        for follower in followers {
            // A follower that has ended needs no types.
            let _ = follower.send(frame_type);
        }
    }
}

/// The frame type that the encoder reports for a packet.
fn encoded_type(packet: &Packet) -> Option<picture::Type> {
    /// Offset in `AV_PKT_DATA_QUALITY_STATS`; the values are those of `AVPictureType`.
    const TYPE_OFFSET: usize = 4;
    let stats = packet.side_data().find(|data| data.kind() == side_data::Type::QualityStats)?;
    match stats.data().get(TYPE_OFFSET)? {
        1 => Some(picture::Type::I),
        2 => Some(picture::Type::P),
        3 => Some(picture::Type::B),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(at: i64, kind: picture::Type) -> frame::Frame {
        let mut frame = ffi::empty_frame();
        frame.set_pts(Some(at));
        ffi::set_frame_type(&mut frame, kind);
        frame
    }

    fn drain(plan: &mut FrameTypePlan, end: bool) -> Vec<(i64, picture::Type)> {
        std::iter::from_fn(|| plan.next(end))
            .map(|frame| (frame.pts().unwrap(), ffi::frame_type(&frame)))
            .collect()
    }

    use picture::Type::{B, I, None, P};

    #[test]
    fn types_of_the_source_are_reused_except_keyframes() {
        for (reuse_source, first, second) in [(true, P, B), (false, None, None)] {
            let mut plan = FrameTypePlan::new(reuse_source);
            plan.push(frame(0, P), false);
            plan.push(frame(1, B), false);
            plan.push(frame(2, B), true);
            plan.push(frame(3, I), false);
            assert_eq!(drain(&mut plan, false), [(0, first), (1, second), (2, I), (3, None)]);
        }
    }

    fn pair(reuse_source: bool) -> (FrameTypePlan, FrameTypePlan) {
        let (mut leader, mut follower) =
            (FrameTypePlan::new(reuse_source), FrameTypePlan::new(reuse_source));
        FrameTypePlan::share(&mut leader, std::iter::once(&mut follower));
        (leader, follower)
    }

    #[test]
    fn a_frame_waits_for_the_leader() {
        let (leader, mut follower) = pair(false);
        follower.push(frame(0, P), false);
        assert_eq!(drain(&mut follower, false), []);
        let Sharing::Lead(senders) = &leader.sharing else { unreachable!() };
        senders[0].send((0, P)).unwrap();
        assert_eq!(drain(&mut follower, false), [(0, P)]);
    }

    #[test]
    fn no_frame_waits_where_the_source_type_is_known() {
        let (leader, mut follower) = pair(true);
        follower.push(frame(0, P), false);
        assert_eq!(drain(&mut follower, false), [(0, P)]);
        drop(leader);
    }

    #[test]
    fn frames_are_encoded_after_the_leader_has_ended() {
        for end in [false, true] {
            let (leader, mut follower) = pair(false);
            (0..3).for_each(|at| follower.push(frame(at, None), false));
            drop(leader);
            assert_eq!(drain(&mut follower, end).len(), 3);
        }
    }
}
