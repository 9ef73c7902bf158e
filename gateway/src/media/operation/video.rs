use ffapi_domain::media::{
    Axis, Crop, Filter, FilterName, Flip, Fps, Pad, Paint, Rotate, Scale, ScaleMode,
};
use poem_openapi::Object;
use serde::Deserialize;

use crate::{media::value, problem::Problem};

/// Scales the video; a missing side follows from the aspect ratio. Pixels become square.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "Scale", skip_serializing_if_is_none)]
pub(crate) struct ScaleBody {
    width: Option<u32>,
    height: Option<u32>,
    /// `fit` (inside the box), `fill` (covering the box and cropped to it) or `stretch`.
    mode: Option<String>,
}

impl From<&Scale> for ScaleBody {
    fn from(scale: &Scale) -> Self {
        Self { width: scale.width, height: scale.height, mode: Some(value::name_of(&scale.mode)) }
    }
}

impl ScaleBody {
    pub(super) fn read(self, at: impl Fn(&str) -> String) -> Result<Scale, Problem> {
        let mode = value::word::<ScaleMode>(self.mode, &at("mode"))?.unwrap_or_default();
        Ok(Scale { width: self.width, height: self.height, mode })
    }
}

/// Crops the video to a rectangle.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "Crop", skip_serializing_if_is_none)]
pub(crate) struct CropBody {
    #[serde(default)]
    #[oai(default)]
    x: u32,
    #[serde(default)]
    #[oai(default)]
    y: u32,
    width: u32,
    height: u32,
}

impl From<&Crop> for CropBody {
    fn from(crop: &Crop) -> Self {
        Self { x: crop.x, y: crop.y, width: crop.width, height: crop.height }
    }
}

impl CropBody {
    pub(super) const fn read(self) -> Crop {
        Crop { x: self.x, y: self.y, width: self.width, height: self.height }
    }
}

/// Centres the video in a larger frame.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "Pad", skip_serializing_if_is_none)]
pub(crate) struct PadBody {
    width: u32,
    height: u32,
    /// `#RRGGBB`, `#RRGGBBAA` or a name; black if absent.
    color: Option<String>,
}

impl From<&Pad> for PadBody {
    fn from(pad: &Pad) -> Self {
        let color = pad.color.as_ref().map(value::name_of);
        Self { width: pad.width, height: pad.height, color }
    }
}

impl PadBody {
    pub(super) fn read(self, at: impl Fn(&str) -> String) -> Result<Pad, Problem> {
        let color = value::word::<Paint>(self.color, &at("color"))?;
        Ok(Pad { width: self.width, height: self.height, color })
    }
}

/// Rotates the video clockwise.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "Rotate", skip_serializing_if_is_none)]
pub(crate) struct RotateBody {
    /// Any angle; negative is counterclockwise. Uncovered corners are black.
    degrees: f64,
}

impl From<&Rotate> for RotateBody {
    fn from(rotate: &Rotate) -> Self {
        Self { degrees: rotate.degrees }
    }
}

impl RotateBody {
    pub(super) const fn read(self) -> Rotate {
        Rotate { degrees: self.degrees }
    }
}

/// Mirrors the video.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "Flip", skip_serializing_if_is_none)]
pub(crate) struct FlipBody {
    /// `horizontal`, `vertical` or `both`.
    axis: String,
}

impl From<&Flip> for FlipBody {
    fn from(flip: &Flip) -> Self {
        Self { axis: value::name_of(&flip.axis) }
    }
}

impl FlipBody {
    pub(super) fn read(self, at: impl Fn(&str) -> String) -> Result<Flip, Problem> {
        Ok(Flip { axis: value::known::<Axis>(self.axis, &at("axis"))? })
    }
}

/// Converts the video to a constant frame rate by repeating and dropping frames.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "Fps", skip_serializing_if_is_none)]
pub(crate) struct FpsBody {
    fps: f64,
}

impl From<&Fps> for FpsBody {
    fn from(fps: &Fps) -> Self {
        Self { fps: value::fps(fps.millifps) }
    }
}

impl FpsBody {
    pub(super) fn read(self) -> Fps {
        Fps { millifps: value::millifps(self.fps) }
    }
}

/// Applies a video filter.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "Filter", skip_serializing_if_is_none)]
pub(crate) struct FilterBody {
    /// `denoise`, `deinterlace`, `stabilize`, `sharpen`, `blur`, `brightness`, `contrast`,
    /// `saturation`, `hue`, `eq` or `tonemap`.
    name: String,
    /// 0 to 1 for `denoise`, `stabilize`, `sharpen` and `blur`; -1 to 1 for `brightness`; a factor
    /// for `contrast` and `saturation`; degrees for `hue`.
    strength: Option<f64>,
    params: Option<EqBody>,
}

/// Parameters of `eq`.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "EqParams", skip_serializing_if_is_none)]
pub(crate) struct EqBody {
    brightness: Option<f64>,
    contrast: Option<f64>,
    saturation: Option<f64>,
    gamma: Option<f64>,
}

impl From<&Filter> for FilterBody {
    fn from(filter: &Filter) -> Self {
        let Filter { brightness, contrast, saturation, gamma, .. } = *filter;
        let params = EqBody { brightness, contrast, saturation, gamma };
        let given = [brightness, contrast, saturation, gamma].iter().any(Option::is_some);
        Self {
            name: value::name_of(&filter.name),
            strength: filter.strength,
            params: given.then_some(params),
        }
    }
}

impl FilterBody {
    pub(super) fn read(self, at: impl Fn(&str) -> String) -> Result<Filter, Problem> {
        let name = value::known::<FilterName>(self.name, &at("name"))?;
        let eq = self.params;
        Ok(Filter {
            name,
            strength: self.strength,
            brightness: eq.as_ref().and_then(|eq| eq.brightness),
            contrast: eq.as_ref().and_then(|eq| eq.contrast),
            saturation: eq.as_ref().and_then(|eq| eq.saturation),
            gamma: eq.as_ref().and_then(|eq| eq.gamma),
        })
    }
}
