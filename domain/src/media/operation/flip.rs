use serde::{Deserialize, Serialize};

use crate::media::{
    PlanRejection,
    plan::{Draft, Place, VideoFilter},
};

/// Mirrors the picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flip {
    /// What changes sides.
    pub axis: Axis,
}

/// What changes sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Axis {
    /// Left and right.
    Horizontal,
    /// Top and bottom.
    Vertical,
    /// Both.
    Both,
}

impl Flip {
    pub(super) fn plan(&self, at: &Place, draft: &mut Draft<'_>) -> Result<(), PlanRejection> {
        draft.the_picture(at, "")?.filters.push(VideoFilter::Flip(self.axis));
        Ok(())
    }
}
