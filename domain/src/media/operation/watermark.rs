use serde::{Deserialize, Serialize};

use super::Position;
use crate::{
    Personal,
    location::Location,
    media::{
        Micros, PlanRejection,
        plan::{Draft, Picture, Place, VideoFilter, Window},
    },
};

/// Lays a still picture over the film.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Watermark {
    /// PNG, JPEG or WebP.
    pub image: Personal<Location>,
    /// Where.
    #[serde(default)]
    pub position: Position,
    /// 1 hides what is behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opacity: Option<f64>,
    /// Its width as a part of the film's; its own size when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<f64>,
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

impl Watermark {
    pub(super) fn plan(&self, at: &Place, draft: &mut Draft<'_>) -> Result<(), PlanRejection> {
        let opacity = self.opacity.unwrap_or(1.0);
        if !(0.0..=1.0).contains(&opacity) {
            return at.refuse("opacity", "`opacity` is 0 (unseen) to 1 (solid)");
        }
        if self.scale.is_some_and(|scale| !(0.01..=1.0).contains(&scale)) {
            return at.refuse("scale", "`scale` is the part of the film's width, 0.01 to 1");
        }
        if self.margin.is_some_and(|margin| margin > 4096) {
            return at.refuse("margin", "`margin` is at most 4096 pixels");
        }
        let during = Window::checked(at, self.start, self.end)?;
        let (input, facts) = draft.next_input();
        let image = facts.and_then(|facts| facts.video()).map(|(_, video)| video);
        if facts.is_some() && image.is_none() {
            return at.refuse("image", "the image holds no picture; PNG, JPEG and WebP work");
        }
        let image = image.map(Picture::of);
        let own =
            image.as_ref().map_or((64, 64), |image| (image.width.max(1), image.height.max(1)));
        let upright = image.map_or_else(Vec::new, |image| image.filters);
        let picture = draft.the_picture(at, "")?;
        let (width, height) = self.size(own, picture.width);
        let (width, height) = (width.min(picture.width), height.min(picture.height));
        let (x, y) = self.position.corner(
            (width, height),
            (picture.width, picture.height),
            self.margin.unwrap_or(16),
        );
        picture.filters.push(VideoFilter::Overlay {
            input,
            upright,
            width,
            height,
            x,
            y,
            opacity,
            during,
        });
        Ok(())
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a part of a picture's width, cut to the picture by the caller"
    )]
    fn size(&self, (width, height): (u32, u32), film: u32) -> (u32, u32) {
        let Some(scale) = self.scale else { return (width, height) };
        let wanted = (f64::from(film) * scale).round().max(1.0);
        let high = (wanted * f64::from(height) / f64::from(width)).round().max(1.0);
        (wanted as u32, high as u32)
    }
}
