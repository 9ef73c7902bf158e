use serde::{Deserialize, Serialize};

use super::{Paint, Position};
use crate::{
    Personal,
    media::{
        Micros, PlanRejection,
        plan::{Draft, Place, VideoFilter, Window},
    },
};

/// Writes on the picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Text {
    /// What; lines are kept.
    pub text: Personal<String>,
    /// Where.
    #[serde(default)]
    pub position: Position,
    /// Height of the letters in pixels; a twentieth of the picture when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u32>,
    /// White when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub color: Option<Paint>,
    /// Pixels between it and the edges; 16 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<u32>,
    /// First instant it is seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Micros>,
    /// First instant it is no longer seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<Micros>,
}

impl Text {
    pub(super) fn plan(&self, at: &Place, draft: &mut Draft<'_>) -> Result<(), PlanRejection> {
        let Some(text) = self.text.as_ref() else {
            return at.refuse("text", "the text was erased with its tenant's data");
        };
        if text.trim().is_empty() || text.len() > 2_000 {
            return at.refuse("text", "`text` is 1 to 2000 bytes");
        }
        if text.chars().any(|c| c.is_control() && c != '\n') {
            return at.refuse("text", "`text` has no control characters but line breaks");
        }
        if self.size.is_some_and(|size| !(6..=1_000).contains(&size)) {
            return at.refuse("size", "`size` is 6 to 1000 pixels");
        }
        if self.margin.is_some_and(|margin| margin > 4096) {
            return at.refuse("margin", "`margin` is at most 4096 pixels");
        }
        let during = Window::checked(at, self.start, self.end)?;
        let picture = draft.the_picture(at, "")?;
        picture.filters.push(VideoFilter::Text {
            text: text.clone(),
            position: self.position,
            size: self.size.unwrap_or_else(|| (picture.height / 20).max(12)),
            color: self.color.unwrap_or(Paint::WHITE),
            margin: self.margin.unwrap_or(16),
            during,
        });
        Ok(())
    }
}
