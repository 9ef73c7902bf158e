use serde::{Deserialize, Serialize};

use crate::media::{
    PlanRejection,
    plan::{Draft, MAX_SIDE, Picture, Place, VideoFilter, even},
};

/// Turns the picture clockwise; corners that come free are black.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rotate {
    /// Negative against the clock.
    pub degrees: f64,
}

impl Rotate {
    pub(super) fn plan(&self, at: &Place, draft: &mut Draft<'_>) -> Result<(), PlanRejection> {
        if !(-3_600.0..=3_600.0).contains(&self.degrees) {
            return at.refuse("degrees", "`degrees` is -3600 to 3600");
        }
        let degrees = self.degrees.rem_euclid(360.0);
        let picture = draft.the_picture(at, "")?;
        let quarters = [(90.0, 90), (180.0, 180), (270.0, 270)];
        let quarter = quarters.into_iter().find(|(angle, _)| (degrees - angle).abs() < 1e-6);
        if let Some((_, turn)) = quarter {
            picture.filters.push(VideoFilter::Rotate(turn));
            picture.turn(turn);
        } else if (1e-6..360.0 - 1e-6).contains(&degrees) {
            tilt(picture, degrees);
            if picture.width > MAX_SIDE || picture.height > MAX_SIDE {
                let detail = format!("turned, a side is over {MAX_SIDE} pixels; scale it first");
                return at.refuse("degrees", detail);
            }
        }
        Ok(())
    }
}

/// Turns by any angle, on a picture that is just large enough.
fn tilt(picture: &mut Picture, degrees: f64) {
    // On pixels that are not square an angle is not what it looks like.
    picture.scale_to(picture.shown_size());
    let (sin, cos) = degrees.to_radians().sin_cos();
    let (wide, high) = (f64::from(picture.width), f64::from(picture.height));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a sum of two sides at most, which fits"
    )]
    let side = |length: f64| even((length.ceil() as u32).saturating_add(1));
    let width = side((wide * cos).abs() + (high * sin).abs());
    let height = side((wide * sin).abs() + (high * cos).abs());
    picture.filters.push(VideoFilter::Tilt { degrees, width, height });
    (picture.width, picture.height) = (width, height);
}
