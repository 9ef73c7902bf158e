use ffapi_domain::media::Window;
use ffmpeg_the_third::{Rational, Rescale, frame};

use crate::{ffi, units::MICROS};

/// A frame that comes later than this after the start leaves the one before it on display, in
/// microseconds.
const MAX_WAIT: i64 = 100_000;

/// Finds the frame that is displayed at the start of the needed part of a video: slides and screen
/// recordings may have none for seconds after it.
#[derive(Default)]
pub(crate) struct Standing {
    /// The start in microseconds, until a frame has passed it.
    start: Option<i64>,
    /// The end of the needed part in microseconds, if there is one.
    end: Option<i64>,
    /// The newest frame before the start.
    before: Option<frame::Frame>,
    /// The frame after the one that was moved to the start.
    following: Option<frame::Frame>,
}

impl Standing {
    pub(crate) fn at(part: Window) -> Self {
        let start = i64::try_from(part.start).ok().filter(|start| *start > 0);
        let end = part.end.and_then(|end| i64::try_from(end).ok());
        Self { start, end, ..Self::default() }
    }

    /// The frame to use instead of `frame`, which is displayed from `at` (microseconds) on.
    pub(crate) fn pass(
        &mut self,
        frame: frame::Frame,
        at: i64,
        time_base: Rational,
    ) -> frame::Frame {
        let Some(start) = self.start else { return frame };
        if at < start {
            self.before = ffi::share(&frame).ok();
            return frame;
        }
        let is_over = self.end.is_some_and(|end| at >= end);
        let waits = is_over || at.saturating_sub(start) > MAX_WAIT;
        match self.last(time_base).filter(|_| waits) {
            Some(moved) => {
                self.following = Some(frame);
                moved
            }
            None => frame,
        }
    }

    /// The frame that follows the one that was moved to the start.
    pub(crate) fn following(&mut self) -> Option<frame::Frame> {
        self.following.take()
    }

    /// The newest frame before the start, moved to it, unless a frame has passed it.
    pub(crate) fn last(&mut self, time_base: Rational) -> Option<frame::Frame> {
        let start = self.start.take()?;
        let mut frame = self.before.take()?;
        frame.set_pts(Some(start.rescale(MICROS, time_base)));
        Some(frame)
    }
}
