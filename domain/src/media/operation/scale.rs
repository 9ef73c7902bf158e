use serde::{Deserialize, Serialize};

use crate::media::{
    PlanRejection, Size,
    plan::{MAX_SIDE, OperationPath, PlanBuilder, VideoFilter, VideoTrack, even},
};

/// Changes the frame size; a missing side follows the aspect ratio. The output has square pixels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scale {
    /// Width in pixels.
    #[serde(default)]
    pub width: Option<u32>,
    /// Height in pixels.
    #[serde(default)]
    pub height: Option<u32>,
    /// How the video fits if both sides are given.
    #[serde(default)]
    pub mode: ScaleMode,
}

/// How a video fits into a given size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScaleMode {
    /// Completely inside, with its aspect ratio.
    #[default]
    Fit,
    /// Covering it, with its aspect ratio; the rest is cropped.
    Fill,
    /// Exactly the size, without keeping the aspect ratio.
    Stretch,
}

impl Scale {
    pub(super) fn plan(
        &self,
        at: &OperationPath,
        builder: &mut PlanBuilder<'_>,
    ) -> Result<(), PlanRejection> {
        for (field, side) in [("width", self.width), ("height", self.height)] {
            if side.is_some_and(|side| !(16..=MAX_SIDE).contains(&side)) {
                return at.refuse(field, format!("{field} is 16 to {MAX_SIDE} pixels"));
            }
        }
        if self.width.is_none() && self.height.is_none() {
            return at.refuse("width", "`scale` needs `width`, `height` or both");
        }
        let track = builder.require_video(at, "")?;
        let size = resize(track, self);
        if size.width.max(size.height) > MAX_SIDE {
            return at.refuse("width", format!("a side would exceed {MAX_SIDE} pixels"));
        }
        track.scale_to(size);
        if let (ScaleMode::Fill, Some(width), Some(height)) = (self.mode, self.width, self.height) {
            let (width, height) = (even(width), even(height));
            if (Size { width, height }) != size {
                let (x, y) =
                    (size.width.saturating_sub(width) / 2, size.height.saturating_sub(height) / 2);
                track.filters.push(VideoFilter::Crop { x, y, width, height });
                (track.width, track.height) = (width, height);
            }
        }
        Ok(())
    }
}

/// The scaled frame size, before `fill` crops it; even, as most codecs require.
pub(crate) fn resize(track: &VideoTrack, scale: &Scale) -> Size {
    let Size { width, height } = track.display_size();
    // Rounds to the nearest even number.
    let follow = |side: u32, num: u32, den: u32| {
        let den = u64::from(den.max(1));
        let halves = (u64::from(side) * u64::from(num)).saturating_add(den) / den.saturating_mul(2);
        u32::try_from(halves.max(1).saturating_mul(2)).unwrap_or(u32::MAX)
    };
    let (width, height) = match (scale.width, scale.height) {
        (None, None) => (width, height),
        (Some(w), None) => (even(w), follow(w, height, width)),
        (None, Some(h)) => (follow(h, width, height), even(h)),
        (Some(w), Some(h)) if scale.mode == ScaleMode::Stretch => (even(w), even(h)),
        (Some(w), Some(h)) => {
            // The side that decides: for `fit` the tighter one, for `fill` the looser one.
            let wide = u64::from(width) * u64::from(h) >= u64::from(height) * u64::from(w);
            if wide == (scale.mode == ScaleMode::Fit) {
                (even(w), follow(w, height, width))
            } else {
                (follow(h, width, height), even(h))
            }
        }
    };
    Size { width, height }
}
