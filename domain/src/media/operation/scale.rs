use serde::{Deserialize, Serialize};

use crate::media::{
    PlanRejection,
    plan::{Draft, MAX_SIDE, Picture, Place, VideoFilter, even},
};

/// Changes the picture's size; one missing side follows the aspect ratio. Pixels come out square.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scale {
    /// Pixels.
    #[serde(default)]
    pub width: Option<u32>,
    /// Pixels.
    #[serde(default)]
    pub height: Option<u32>,
    /// When both are given.
    #[serde(default)]
    pub mode: ScaleMode,
}

/// How a picture goes into a given box.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScaleMode {
    /// Wholly inside, aspect ratio kept.
    #[default]
    Fit,
    /// Covering it, aspect ratio kept, the rest cut off.
    Fill,
    /// Exactly it, aspect ratio lost.
    Stretch,
}

impl Scale {
    pub(super) fn plan(&self, at: &Place, draft: &mut Draft<'_>) -> Result<(), PlanRejection> {
        for (field, side) in [("width", self.width), ("height", self.height)] {
            if side.is_some_and(|side| !(16..=MAX_SIDE).contains(&side)) {
                return at.refuse(field, format!("{field} is 16 to {MAX_SIDE} pixels"));
            }
        }
        if self.width.is_none() && self.height.is_none() {
            return at.refuse("width", "`scale` needs `width`, `height` or both");
        }
        let picture = draft.the_picture(at, "")?;
        let size = resize(picture, self);
        if size.0 > MAX_SIDE || size.1 > MAX_SIDE {
            return at.refuse("width", format!("the picture would be over {MAX_SIDE} pixels"));
        }
        picture.scale_to(size);
        if let (ScaleMode::Fill, Some(width), Some(height)) = (self.mode, self.width, self.height) {
            let (width, height) = (even(width), even(height));
            if (width, height) != size {
                let (x, y) = (size.0.saturating_sub(width) / 2, size.1.saturating_sub(height) / 2);
                picture.filters.push(VideoFilter::Crop { x, y, width, height });
                (picture.width, picture.height) = (width, height);
            }
        }
        Ok(())
    }
}

/// The size that a picture takes, before `fill` cuts anything off; even, as most codecs need it.
pub(crate) fn resize(picture: &Picture, scale: &Scale) -> (u32, u32) {
    let (shown, height) = picture.shown_size();
    // The nearest even number.
    let follow = |side: u32, num: u32, den: u32| {
        let den = u64::from(den.max(1));
        let halves = (u64::from(side) * u64::from(num)).saturating_add(den) / den.saturating_mul(2);
        u32::try_from(halves.max(1).saturating_mul(2)).unwrap_or(u32::MAX)
    };
    match (scale.width, scale.height) {
        (None, None) => (shown, height),
        (Some(w), None) => (even(w), follow(w, height, shown)),
        (None, Some(h)) => (follow(h, shown, height), even(h)),
        (Some(w), Some(h)) if scale.mode == ScaleMode::Stretch => (even(w), even(h)),
        (Some(w), Some(h)) => {
            // Which side decides: for `fit` the tighter one, for `fill` the looser one.
            let wide = u64::from(shown) * u64::from(h) >= u64::from(height) * u64::from(w);
            if wide == (scale.mode == ScaleMode::Fit) {
                (even(w), follow(w, height, shown))
            } else {
                (follow(h, shown, height), even(h))
            }
        }
    }
}
