use serde::{Deserialize, Serialize};

use crate::media::{
    PlanRejection,
    plan::{OperationPath, PlanBuilder, VideoFilter},
};

/// Mirrors the video.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flip {
    /// The direction of mirroring.
    pub axis: Axis,
}

/// The direction of mirroring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Axis {
    /// Swaps left and right.
    Horizontal,
    /// Swaps top and bottom.
    Vertical,
    /// Swaps both.
    Both,
}

impl Flip {
    pub(super) fn plan(
        &self,
        at: &OperationPath,
        builder: &mut PlanBuilder<'_>,
    ) -> Result<(), PlanRejection> {
        builder.require_video(at, "")?.filters.push(VideoFilter::Flip(self.axis));
        Ok(())
    }
}
