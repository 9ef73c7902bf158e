use serde::{Deserialize, Serialize};

use crate::media::{
    PlanRejection,
    plan::{OperationPath, PlanBuilder, VideoFilter},
};

/// Keeps a rectangle of the frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crop {
    /// Pixels cut off at the left.
    #[serde(default)]
    pub x: u32,
    /// Pixels cut off at the top.
    #[serde(default)]
    pub y: u32,
    /// Width of the rectangle in pixels.
    pub width: u32,
    /// Height of the rectangle in pixels.
    pub height: u32,
}

impl Crop {
    pub(super) fn plan(
        &self,
        at: &OperationPath,
        builder: &mut PlanBuilder<'_>,
    ) -> Result<(), PlanRejection> {
        let Self { x, y, width, height } = *self;
        let known = builder.inputs.is_some();
        let track = builder.require_video(at, "")?;
        for (field, side) in [("width", width), ("height", height)] {
            if side < 2 {
                return at.refuse(field, format!("{field} is at least 2 pixels"));
            }
        }
        for (field, from, side, whole) in
            [("width", x, width, track.width), ("height", y, height, track.height)]
        {
            if known && from.saturating_add(side) > whole {
                return at.refuse(
                    field,
                    format!("the rectangle exceeds the frame: its {field} is {whole} here"),
                );
            }
        }
        track.filters.push(VideoFilter::Crop { x, y, width, height });
        (track.width, track.height) = (width, height);
        Ok(())
    }
}
