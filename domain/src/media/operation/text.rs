use serde::{Deserialize, Serialize};

use super::{Paint, Position};
use crate::{
    Personal,
    media::{
        Micros, PlanRejection,
        plan::{OperationPath, PlanBuilder, VideoFilter, Window},
    },
};

/// Overlays text on the video.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Text {
    /// The text; line breaks are kept.
    pub text: Personal<String>,
    /// Position in the frame.
    #[serde(default)]
    pub position: Position,
    /// Height of the letters in pixels; a twentieth of the frame height if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u32>,
    /// Colour of the text; white if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub color: Option<Paint>,
    /// Distance from the edges in pixels; 16 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<u32>,
    /// Start of its display, inclusive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Micros>,
    /// End of its display, exclusive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<Micros>,
}

impl Text {
    pub(super) fn plan(
        &self,
        at: &OperationPath,
        builder: &mut PlanBuilder<'_>,
    ) -> Result<(), PlanRejection> {
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
        let track = builder.require_video(at, "")?;
        track.filters.push(VideoFilter::Text {
            text: text.clone(),
            position: self.position,
            size: self.size.unwrap_or_else(|| (track.height / 20).max(12)),
            color: self.color.unwrap_or(Paint::WHITE),
            margin: self.margin.unwrap_or(16),
            during,
        });
        Ok(())
    }
}
