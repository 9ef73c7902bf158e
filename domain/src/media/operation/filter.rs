use serde::{Deserialize, Serialize};

use crate::media::{
    PlanRejection,
    plan::{Adjust, OperationPath, PlanBuilder, VideoFilter},
};

/// Applies a video filter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Filter {
    /// The filter.
    pub name: FilterName,
    /// Strength of the filter; each has its own default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strength: Option<f64>,
    /// -1 to 1; `eq` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brightness: Option<f64>,
    /// 0 to 4, 1 changes nothing; `eq` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contrast: Option<f64>,
    /// 0 to 3, 1 changes nothing; `eq` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saturation: Option<f64>,
    /// 0.1 to 10, 1 changes nothing; `eq` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gamma: Option<f64>,
}

/// The available filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FilterName {
    /// Reduces noise.
    Denoise,
    /// Combines two fields into one frame.
    Deinterlace,
    /// Reduces camera shake, in two passes.
    Stabilize,
    /// Makes edges sharper.
    Sharpen,
    /// Makes edges softer.
    Blur,
    /// Changes the brightness.
    Brightness,
    /// Changes the contrast.
    Contrast,
    /// Changes the saturation.
    Saturation,
    /// Rotates the hue, in degrees.
    Hue,
    /// Brightness, contrast, saturation and gamma together.
    Eq,
    /// Maps high dynamic range to BT.709.
    Tonemap,
}

impl FilterName {
    /// Minimum, default and maximum strength; `None` if the filter has no strength.
    const fn strength(self) -> Option<(f64, f64, f64)> {
        match self {
            Self::Denoise | Self::Stabilize | Self::Sharpen | Self::Blur => Some((0.0, 0.5, 1.0)),
            Self::Brightness => Some((-1.0, 0.1, 1.0)),
            Self::Contrast => Some((0.0, 1.2, 4.0)),
            Self::Saturation => Some((0.0, 1.2, 3.0)),
            Self::Hue => Some((-360.0, 90.0, 360.0)),
            Self::Deinterlace | Self::Eq | Self::Tonemap => None,
        }
    }
}

impl Filter {
    pub(super) fn plan(
        &self,
        at: &OperationPath,
        builder: &mut PlanBuilder<'_>,
    ) -> Result<(), PlanRejection> {
        let strength = self.checked_strength(at)?;
        self.check_parts(at)?;
        let adjust = |adjust: Adjust| VideoFilter::Adjust(adjust);
        let filter = match self.name {
            FilterName::Denoise => VideoFilter::Denoise(strength),
            FilterName::Deinterlace => VideoFilter::Deinterlace,
            FilterName::Stabilize => VideoFilter::Stabilize(strength),
            FilterName::Sharpen => VideoFilter::Sharpen(strength),
            FilterName::Blur => VideoFilter::Blur(strength),
            FilterName::Brightness => adjust(Adjust { brightness: strength, ..Adjust::NOTHING }),
            FilterName::Contrast => adjust(Adjust { contrast: strength, ..Adjust::NOTHING }),
            FilterName::Saturation => adjust(Adjust { saturation: strength, ..Adjust::NOTHING }),
            FilterName::Hue => VideoFilter::Hue(strength),
            FilterName::Eq => adjust(Adjust {
                brightness: self.brightness.unwrap_or(0.0),
                contrast: self.contrast.unwrap_or(1.0),
                saturation: self.saturation.unwrap_or(1.0),
                gamma: self.gamma.unwrap_or(1.0),
            }),
            FilterName::Tonemap => {
                builder.require_video(at, "")?.tonemap();
                return Ok(());
            }
        };
        let known = builder.inputs.is_some();
        let track = builder.require_video(at, "")?;
        if filter == VideoFilter::Deinterlace {
            track.deinterlace();
            return Ok(());
        }
        let is_stabilize = |filter: &VideoFilter| matches!(filter, VideoFilter::Stabilize(_));
        if is_stabilize(&filter) && track.filters.iter().any(is_stabilize) {
            return at.refuse("name", "a video can only be stabilized once; remove one of the two");
        }
        if known && is_stabilize(&filter) && (track.width < 64 || track.height < 64) {
            return at.refuse("name", "a video under 64 pixels cannot be stabilized");
        }
        track.filters.push(filter);
        Ok(())
    }

    fn checked_strength(&self, at: &OperationPath) -> Result<f64, PlanRejection> {
        let Some((min, default, max)) = self.name.strength() else {
            return match self.strength {
                Some(_) => at.refuse("strength", "this filter has no `strength`; leave it out"),
                None => Ok(0.0),
            };
        };
        let strength = self.strength.unwrap_or(default);
        if (min..=max).contains(&strength) {
            Ok(strength)
        } else {
            at.refuse("strength", format!("`strength` is {min} to {max} for this filter"))
        }
    }

    fn check_parts(&self, at: &OperationPath) -> Result<(), PlanRejection> {
        for (field, value, min, max) in [
            ("brightness", self.brightness, -1.0, 1.0),
            ("contrast", self.contrast, 0.0, 4.0),
            ("saturation", self.saturation, 0.0, 3.0),
            ("gamma", self.gamma, 0.1, 10.0),
        ] {
            let Some(value) = value else { continue };
            if self.name != FilterName::Eq {
                return at.refuse(field, format!("`{field}` belongs to the filter `eq`"));
            }
            if !(min..=max).contains(&value) {
                return at.refuse(field, format!("`{field}` is {min} to {max}"));
            }
        }
        Ok(())
    }
}
