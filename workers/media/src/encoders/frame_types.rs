//! Frame types (I, P, B): reused from the source or from another encoder instead of decided again.

mod follower;
mod frame_type;
mod source_types;

use std::{
    collections::VecDeque,
    sync::mpsc::{Sender, channel},
};

use ffmpeg_the_third::{Packet, codec::packet::side_data, frame, picture};

pub(crate) use self::source_types::is_frame_type_warning;
use self::{
    follower::{Decision, Follower},
    frame_type::FrameType,
};
pub(crate) use self::{frame_type::Input, source_types::SourceTypes};
use crate::ffi;

/// Whether a frame must be a keyframe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keyframe {
    Forced,
    /// The encoder decides.
    Free,
}

/// What decides the frame types of a track.
pub(crate) struct FrameTypePlan {
    source: SourceTypes,
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

impl FrameTypePlan {
    /// A plan of a track that shares no decisions.
    pub(crate) const fn new(source: SourceTypes) -> Self {
        Self { source, sharing: Sharing::Independent, held: VecDeque::new() }
    }

    /// Makes `leader` decide for `followers`. All of them must get frames, and keyframe requests,
    /// at the same instants.
    pub(crate) fn share<'a>(leader: &mut Self, followers: impl Iterator<Item = &'a mut Self>) {
        let senders = followers.map(|follower| {
            let (sender, receiver) = channel();
            follower.sharing = Sharing::Follow(Follower::new(receiver));
            sender
        });
        leader.sharing = Sharing::Lead(senders.collect());
    }

    /// Queues the next frame of the track.
    pub(crate) fn push(&mut self, mut frame: frame::Frame, key: Keyframe) {
        let source_type = ffi::frame_type(&frame);
        let known = self.source == SourceTypes::Reuse && source_type != picture::Type::None;
        if known {
            // Then the tracks need not wait for each other.
            self.sharing = Sharing::Independent;
        }
        let kind = match source_type {
            _ if key == Keyframe::Forced => picture::Type::I,
            // A keyframe of the source need not be one here.
            kind @ (picture::Type::B | picture::Type::P) if known => kind,
            _ => picture::Type::None,
        };
        ffi::set_frame_type(&mut frame, kind);
        self.held.push_back(frame);
    }

    /// The next frame to encode; `None` if its type is not known yet, or if no frame is left.
    pub(crate) fn next(&mut self, input: Input) -> Option<frame::Frame> {
        let Sharing::Follow(follower) = &mut self.sharing else { return self.held.pop_front() };
        let decision = follower.kind_at(self.held.front()?.pts()?, input)?;
        let mut frame = self.held.pop_front()?;
        if let Decision::Type(kind) = decision {
            ffi::set_frame_type(&mut frame, kind);
        }
        Some(frame)
    }

    /// Sends the type of an encoded frame to the followers.
    pub(crate) fn publish(&self, packet: &Packet) {
        let Sharing::Lead(followers) = &self.sharing else { return };
        let (Some(at), Some(kind)) = (packet.pts(), encoded_type(packet)) else { return };
        for follower in followers {
            // A follower that has ended needs no types.
            let _ = follower.send(FrameType { at, kind });
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

    fn drain(plan: &mut FrameTypePlan, input: Input) -> Vec<(i64, picture::Type)> {
        std::iter::from_fn(|| plan.next(input))
            .map(|frame| (frame.pts().unwrap(), ffi::frame_type(&frame)))
            .collect()
    }

    use picture::Type::{B, I, None, P};

    #[test]
    fn types_of_the_source_are_reused_except_keyframes() {
        for (source, first, second) in
            [(SourceTypes::Reuse, P, B), (SourceTypes::Ignore, None, None)]
        {
            let mut plan = FrameTypePlan::new(source);
            plan.push(frame(0, P), Keyframe::Free);
            plan.push(frame(1, B), Keyframe::Free);
            plan.push(frame(2, B), Keyframe::Forced);
            plan.push(frame(3, I), Keyframe::Free);
            assert_eq!(
                drain(&mut plan, Input::Continues),
                [(0, first), (1, second), (2, I), (3, None)]
            );
        }
    }

    fn pair(source: SourceTypes) -> (FrameTypePlan, FrameTypePlan) {
        let (mut leader, mut follower) = (FrameTypePlan::new(source), FrameTypePlan::new(source));
        FrameTypePlan::share(&mut leader, std::iter::once(&mut follower));
        (leader, follower)
    }

    #[test]
    fn a_frame_waits_for_the_leader() {
        let (leader, mut follower) = pair(SourceTypes::Ignore);
        follower.push(frame(0, P), Keyframe::Free);
        assert_eq!(drain(&mut follower, Input::Continues), []);
        let Sharing::Lead(senders) = &leader.sharing else { unreachable!() };
        senders[0].send(FrameType { at: 0, kind: P }).unwrap();
        assert_eq!(drain(&mut follower, Input::Continues), [(0, P)]);
    }

    #[test]
    fn no_frame_waits_where_the_source_type_is_known() {
        let (leader, mut follower) = pair(SourceTypes::Reuse);
        follower.push(frame(0, P), Keyframe::Free);
        assert_eq!(drain(&mut follower, Input::Continues), [(0, P)]);
        drop(leader);
    }

    #[test]
    fn frames_are_encoded_after_the_leader_has_ended() {
        for input in [Input::Continues, Input::Ended] {
            let (leader, mut follower) = pair(SourceTypes::Ignore);
            (0..3).for_each(|at| follower.push(frame(at, None), Keyframe::Free));
            drop(leader);
            assert_eq!(drain(&mut follower, input).len(), 3);
        }
    }
}
