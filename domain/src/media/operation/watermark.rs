use serde::{Deserialize, Serialize};

use super::Position;
use crate::{
    Personal,
    location::Location,
    media::{
        Micros, PlanRejection, Size,
        plan::{OperationPath, PlanBuilder, VideoFilter, VideoTrack, Window},
    },
};

/// Overlays a still image on the video.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Watermark {
    /// PNG, JPEG or WebP image.
    pub image: Personal<Location>,
    /// Position in the frame.
    #[serde(default)]
    pub position: Position,
    /// 0 to 1; 1 is opaque.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opacity: Option<f64>,
    /// Its width as a fraction of the video's; its own size if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<f64>,
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

impl Watermark {
    pub(super) fn plan(
        &self,
        at: &OperationPath,
        builder: &mut PlanBuilder<'_>,
    ) -> Result<(), PlanRejection> {
        let opacity = self.opacity.unwrap_or(1.0);
        if !(0.0..=1.0).contains(&opacity) {
            return at.refuse("opacity", "`opacity` is 0 (transparent) to 1 (opaque)");
        }
        if self.scale.is_some_and(|scale| !(0.01..=1.0).contains(&scale)) {
            return at.refuse("scale", "`scale` is a fraction of the video's width, 0.01 to 1");
        }
        if self.margin.is_some_and(|margin| margin > 4096) {
            return at.refuse("margin", "`margin` is at most 4096 pixels");
        }
        let during = Window::checked(at, self.start, self.end)?;
        let (input, facts) = builder.next_input();
        let image = facts.and_then(|facts| facts.video()).map(|(_, video)| video);
        if facts.is_some() && image.is_none() {
            return at.refuse("image", "the file is not an image; PNG, JPEG and WebP work");
        }
        let image = image.map(VideoTrack::of);
        let unknown = Size { width: 64, height: 64 };
        let own = image.as_ref().map_or(unknown, |image| Size {
            width: image.width.max(1),
            height: image.height.max(1),
        });
        let upright = image.map_or_else(Vec::new, |image| image.filters);
        let track = builder.require_video(at, "")?;
        let whole = Size { width: track.width, height: track.height };
        let wanted = self.size(own, whole);
        let (width, height) = (wanted.width.min(whole.width), wanted.height.min(whole.height));
        let (x, y) = self.position.corner(Size { width, height }, whole, self.margin.unwrap_or(16));
        track.filters.push(VideoFilter::Overlay {
            input,
            upright,
            width,
            height,
            x,
            y,
            opacity,
            matrix: track.matrix,
            during,
        });
        Ok(())
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a fraction of the frame width, clamped by the caller"
    )]
    fn size(&self, image: Size, frame: Size) -> Size {
        let Some(scale) = self.scale else { return image };
        let wide = (f64::from(frame.width) * scale).round().max(1.0);
        let high = (wide * f64::from(image.height) / f64::from(image.width)).round().max(1.0);
        Size { width: wide as u32, height: high as u32 }
    }
}
