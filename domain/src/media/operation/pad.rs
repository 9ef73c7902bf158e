use serde::{Deserialize, Serialize};

use super::Paint;
use crate::media::{
    PlanRejection,
    plan::{MAX_SIDE, OperationPath, PlanBuilder, VideoFilter},
};

/// Centres the video in a larger frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pad {
    /// Width of the new frame in pixels.
    pub width: u32,
    /// Height of the new frame in pixels.
    pub height: u32,
    /// Colour of the border; black if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub color: Option<Paint>,
}

impl Pad {
    pub(super) fn plan(
        &self,
        at: &OperationPath,
        builder: &mut PlanBuilder<'_>,
    ) -> Result<(), PlanRejection> {
        let (width, height) = (self.width, self.height);
        let known = builder.inputs.is_some();
        let track = builder.require_video(at, "")?;
        for (field, side, inner) in
            [("width", width, track.width), ("height", height, track.height)]
        {
            if side > MAX_SIDE {
                return at.refuse(field, format!("{field} is at most {MAX_SIDE} pixels"));
            }
            if known && side < inner {
                let detail = format!("the frame's {field} is {inner} here; `pad` cannot cut it");
                return at.refuse(field, detail);
            }
        }
        let x = width.saturating_sub(track.width) / 2;
        let y = height.saturating_sub(track.height) / 2;
        let color = self.color.unwrap_or(Paint::BLACK);
        track.filters.push(VideoFilter::Pad { x, y, width, height, color });
        (track.width, track.height) = (width, height);
        Ok(())
    }
}
