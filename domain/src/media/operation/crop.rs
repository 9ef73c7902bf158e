use serde::{Deserialize, Serialize};

use crate::media::{
    PlanRejection,
    plan::{Draft, Place, VideoFilter},
};

/// Keeps a rectangle of the picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crop {
    /// Pixels cut off at the left.
    #[serde(default)]
    pub x: u32,
    /// Pixels cut off at the top.
    #[serde(default)]
    pub y: u32,
    /// Pixels kept.
    pub width: u32,
    /// Pixels kept.
    pub height: u32,
}

impl Crop {
    pub(super) fn plan(&self, at: &Place, draft: &mut Draft<'_>) -> Result<(), PlanRejection> {
        let Self { x, y, width, height } = *self;
        let known = draft.inputs.is_some();
        let picture = draft.the_picture(at, "")?;
        for (field, side) in [("width", width), ("height", height)] {
            if side < 2 {
                return at.refuse(field, format!("{field} is at least 2 pixels"));
            }
        }
        for (field, from, side, whole) in
            [("width", x, width, picture.width), ("height", y, height, picture.height)]
        {
            if known && from.saturating_add(side) > whole {
                return at.refuse(
                    field,
                    format!("the rectangle leaves the picture: its {field} is {whole} here"),
                );
            }
        }
        picture.filters.push(VideoFilter::Crop { x, y, width, height });
        (picture.width, picture.height) = (width, height);
        Ok(())
    }
}
