//! Which pictures are I, P or B: looked for once where somebody has found it out before.

mod follower;
mod source;

use std::{
    collections::VecDeque,
    sync::mpsc::{Sender, channel},
};

use ffmpeg_the_third::{Packet, codec::packet::side_data, frame, picture};

use self::follower::Follower;
pub(crate) use self::source::is_of_a_hint;
pub(super) use self::source::{Author, is_heeded};
use crate::ffi;

/// Who decides on the kinds of a track's pictures.
pub(super) struct FrameTypePlan {
    /// Whether what was P or B in its source is so here, where its source is worth that.
    heeds: bool,
    shared: Shared,
    /// Pictures that wait for their kind: as many as the encoder that leads looks ahead.
    held: VecDeque<frame::Frame>,
}

/// Whom a track shares what its encoder decides with.
enum Shared {
    Nobody,
    /// Others are told.
    Lead(Vec<Sender<Told>>),
    /// The encoder of another track decides.
    Follow(Follower),
}

/// The kind of the picture at an instant.
type Told = (i64, picture::Type);

impl FrameTypePlan {
    /// What the encoder decides by itself, if it does not heed the source.
    pub(super) const fn own(heeds: bool) -> Self {
        Self { heeds, shared: Shared::Nobody, held: VecDeque::new() }
    }

    /// Lets the first one decide for the others, all given pictures, and asked for keyframes, at
    /// the same instants.
    pub(super) fn share<'a>(leader: &mut Self, followers: impl Iterator<Item = &'a mut Self>) {
        let tell = followers.map(|follower| {
            let (tell, told) = channel();
            follower.shared = Shared::Follow(Follower::new(told));
            tell
        });
        leader.shared = Shared::Lead(tell.collect());
    }

    /// Takes a track's next picture, a keyframe if so asked.
    pub(super) fn take(&mut self, mut frame: frame::Frame, key: bool) {
        let was = ffi::picture_kind(&frame);
        let told_by_source = self.heeds && was != picture::Type::None;
        if told_by_source {
            // Then nobody waits for anybody.
            self.shared = Shared::Nobody;
        }
        let kind = match was {
            _ if key => picture::Type::I,
            // Where the source had a keyframe, there need not be one here.
            kind @ (picture::Type::B | picture::Type::P) if told_by_source => kind,
            _ => picture::Type::None,
        };
        ffi::set_picture_kind(&mut frame, kind);
        self.held.push_back(frame);
    }

    /// The next picture to encode, once its kind is known; at the `end`, waits for that.
    pub(super) fn next(&mut self, end: bool) -> Option<frame::Frame> {
        let Shared::Follow(follower) = &mut self.shared else { return self.held.pop_front() };
        let kind = follower.kind_at(self.held.front()?.pts()?, end)?;
        let mut frame = self.held.pop_front()?;
        if let Some(kind) = kind {
            ffi::set_picture_kind(&mut frame, kind);
        }
        Some(frame)
    }

    /// Tells those who follow what a picture became.
    pub(super) fn tell(&self, packet: &Packet) {
        let Shared::Lead(followers) = &self.shared else { return };
        let Some(told) = packet.pts().zip(kind(packet)) else { return };
        for follower in followers {
            // Who is gone follows nobody.
            let _ = follower.send(told);
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

    fn picture(at: i64, kind: picture::Type) -> frame::Frame {
        let mut frame = ffi::empty_frame();
        frame.set_pts(Some(at));
        ffi::set_picture_kind(&mut frame, kind);
        frame
    }

    fn out(cadence: &mut FrameTypePlan, end: bool) -> Vec<(i64, picture::Type)> {
        std::iter::from_fn(|| cadence.next(end))
            .map(|frame| (frame.pts().unwrap(), ffi::picture_kind(&frame)))
            .collect()
    }

    use picture::Type::{B, I, None, P};

    #[test]
    fn a_source_is_heeded_but_for_keyframes() {
        for (heeds, first, second) in [(true, P, B), (false, None, None)] {
            let mut cadence = FrameTypePlan::own(heeds);
            cadence.take(picture(0, P), false);
            cadence.take(picture(1, B), false);
            cadence.take(picture(2, B), true);
            cadence.take(picture(3, I), false);
            assert_eq!(out(&mut cadence, false), [(0, first), (1, second), (2, I), (3, None)]);
        }
    }

    fn pair(heeds: bool) -> (FrameTypePlan, FrameTypePlan) {
        let (mut leader, mut follower) = (FrameTypePlan::own(heeds), FrameTypePlan::own(heeds));
        FrameTypePlan::share(&mut leader, std::iter::once(&mut follower));
        (leader, follower)
    }

    #[test]
    fn a_picture_waits_for_the_one_that_leads() {
        let (leader, mut follower) = pair(false);
        follower.take(picture(0, P), false);
        assert_eq!(out(&mut follower, false), []);
        let Shared::Lead(tell) = &leader.shared else { unreachable!() };
        tell[0].send((0, P)).unwrap();
        assert_eq!(out(&mut follower, false), [(0, P)]);
    }

    #[test]
    fn nobody_waits_where_the_source_tells() {
        let (leader, mut follower) = pair(true);
        follower.take(picture(0, P), false);
        assert_eq!(out(&mut follower, false), [(0, P)]);
        drop(leader);
    }

    #[test]
    fn without_the_one_that_led_every_picture_goes_on() {
        for end in [false, true] {
            let (leader, mut follower) = pair(false);
            (0..3).for_each(|at| follower.take(picture(at, None), false));
            drop(leader);
            assert_eq!(out(&mut follower, end).len(), 3);
        }
    }
}
