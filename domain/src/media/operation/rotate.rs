use serde::{Deserialize, Serialize};

use crate::media::{
    PlanRejection,
    plan::{MAX_SIDE, OperationPath, PlanBuilder, VideoFilter, VideoTrack, even},
};

/// Rotates the video clockwise; uncovered corners are black.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rotate {
    /// Angle in degrees; negative values rotate counterclockwise.
    pub degrees: f64,
}

impl Rotate {
    pub(super) fn plan(
        &self,
        at: &OperationPath,
        builder: &mut PlanBuilder<'_>,
    ) -> Result<(), PlanRejection> {
        if !(-3_600.0..=3_600.0).contains(&self.degrees) {
            return at.refuse("degrees", "`degrees` is -3600 to 3600");
        }
        let degrees = self.degrees.rem_euclid(360.0);
        let track = builder.require_video(at, "")?;
        let quarters = [(90.0, 90), (180.0, 180), (270.0, 270)];
        let quarter = quarters.into_iter().find(|(angle, _)| (degrees - angle).abs() < 1e-6);
        if let Some((_, turn)) = quarter {
            track.filters.push(VideoFilter::Rotate(turn));
            track.swap_sides(turn);
        } else if (1e-6..360.0 - 1e-6).contains(&degrees) {
            tilt(track, degrees);
            if track.width > MAX_SIDE || track.height > MAX_SIDE {
                let detail = format!("rotated, a side exceeds {MAX_SIDE} pixels; scale it first");
                return at.refuse("degrees", detail);
            }
        }
        Ok(())
    }
}

/// Rotates by any angle, onto a frame that is just large enough.
fn tilt(track: &mut VideoTrack, degrees: f64) {
    // With non-square pixels, the angle would be distorted.
    track.scale_to(track.display_size());
    let (sin, cos) = degrees.to_radians().sin_cos();
    let (wide, high) = (f64::from(track.width), f64::from(track.height));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a sum of two sides at most, which fits"
    )]
    let side = |length: f64| even((length.ceil() as u32).saturating_add(1));
    let width = side((wide * cos).abs() + (high * sin).abs());
    let height = side((wide * sin).abs() + (high * cos).abs());
    track.filters.push(VideoFilter::Tilt { degrees, width, height });
    (track.width, track.height) = (width, height);
}
