use serde::{Deserialize, Serialize};

use crate::media::{
    PlanRejection,
    plan::{Adjust, Draft, Place, VideoFilter},
};

/// Changes how the picture looks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Filter {
    /// Which.
    pub name: FilterName,
    /// How much; each filter has a usual one.
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

/// The filters there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FilterName {
    /// Smooths noise away.
    Denoise,
    /// Makes one picture of two fields.
    Deinterlace,
    /// Takes the shaking out, in two passes.
    Stabilize,
    /// Makes edges clearer.
    Sharpen,
    /// Makes edges softer.
    Blur,
    /// Adds light.
    Brightness,
    /// Spreads light and dark.
    Contrast,
    /// Spreads colours.
    Saturation,
    /// Turns colours, in degrees.
    Hue,
    /// Several of them at once.
    Eq,
    /// High dynamic range to the usual one.
    Tonemap,
}

impl FilterName {
    /// Least, usual and most strength; none where there is nothing to choose.
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
    pub(super) fn plan(&self, at: &Place, draft: &mut Draft<'_>) -> Result<(), PlanRejection> {
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
                draft.the_picture(at, "")?.tonemap();
                return Ok(());
            }
        };
        let known = draft.inputs.is_some();
        let picture = draft.the_picture(at, "")?;
        if filter == VideoFilter::Deinterlace {
            picture.deinterlace();
            return Ok(());
        }
        let again = |there: &VideoFilter| matches!(there, VideoFilter::Stabilize(_));
        if again(&filter) && picture.filters.iter().any(again) {
            return at.refuse("name", "a film is stabilized once; remove one of the two");
        }
        if known && again(&filter) && (picture.width < 64 || picture.height < 64) {
            return at.refuse("name", "a picture under 64 pixels cannot be stabilized");
        }
        picture.filters.push(filter);
        Ok(())
    }

    fn checked_strength(&self, at: &Place) -> Result<f64, PlanRejection> {
        let Some((least, usual, most)) = self.name.strength() else {
            return match self.strength {
                Some(_) => at.refuse("strength", "this filter has no `strength`; leave it out"),
                None => Ok(0.0),
            };
        };
        let strength = self.strength.unwrap_or(usual);
        if (least..=most).contains(&strength) {
            Ok(strength)
        } else {
            at.refuse("strength", format!("`strength` is {least} to {most} for this filter"))
        }
    }

    fn check_parts(&self, at: &Place) -> Result<(), PlanRejection> {
        for (field, value, least, most) in [
            ("brightness", self.brightness, -1.0, 1.0),
            ("contrast", self.contrast, 0.0, 4.0),
            ("saturation", self.saturation, 0.0, 3.0),
            ("gamma", self.gamma, 0.1, 10.0),
        ] {
            let Some(value) = value else { continue };
            if self.name != FilterName::Eq {
                return at.refuse(field, format!("`{field}` belongs to the filter `eq`"));
            }
            if !(least..=most).contains(&value) {
                return at.refuse(field, format!("`{field}` is {least} to {most}"));
            }
        }
        Ok(())
    }
}
