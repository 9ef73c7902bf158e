use serde::{Deserialize, Serialize};

use super::Paint;
use crate::media::{
    PlanRejection,
    plan::{Draft, MAX_SIDE, Place, VideoFilter},
};

/// Puts the picture in the middle of a larger one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pad {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Of the border; black when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub color: Option<Paint>,
}

impl Pad {
    pub(super) fn plan(&self, at: &Place, draft: &mut Draft<'_>) -> Result<(), PlanRejection> {
        let (width, height) = (self.width, self.height);
        let known = draft.inputs.is_some();
        let picture = draft.the_picture(at, "")?;
        for (field, side, inner) in
            [("width", width, picture.width), ("height", height, picture.height)]
        {
            if side > MAX_SIDE {
                return at.refuse(field, format!("{field} is at most {MAX_SIDE} pixels"));
            }
            if known && side < inner {
                let detail = format!("the picture's {field} is {inner} here; `pad` cannot cut it");
                return at.refuse(field, detail);
            }
        }
        let x = width.saturating_sub(picture.width) / 2;
        let y = height.saturating_sub(picture.height) / 2;
        let color = self.color.unwrap_or(Paint::BLACK);
        picture.filters.push(VideoFilter::Pad { x, y, width, height, color });
        (picture.width, picture.height) = (width, height);
        Ok(())
    }
}
