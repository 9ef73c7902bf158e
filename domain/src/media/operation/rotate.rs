use serde::{Deserialize, Serialize};

use crate::media::{
    PlanRejection,
    plan::{Draft, Place, VideoFilter},
};

/// Turns the picture clockwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotate {
    /// A multiple of 90; negative against the clock.
    pub degrees: i32,
}

impl Rotate {
    pub(super) fn plan(&self, at: &Place, draft: &mut Draft<'_>) -> Result<(), PlanRejection> {
        if self.degrees % 90 != 0 {
            let detail = "`degrees` is a multiple of 90, like 90, 180, 270 or -90";
            return at.refuse("degrees", detail);
        }
        let turn = u16::try_from(self.degrees.rem_euclid(360)).unwrap_or(0);
        let picture = draft.the_picture(at, "")?;
        if turn != 0 {
            picture.filters.push(VideoFilter::Rotate(turn));
            picture.turn(turn);
        }
        Ok(())
    }
}
