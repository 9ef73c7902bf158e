use serde::{Deserialize, Serialize};

use super::{ImageFormat, Micros, Overwrite, ThumbnailMode, Thumbnails};
use crate::{Personal, media::PlanRejection};

/// A poster image, next to the manifests.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Poster {
    /// Its time; a good one is chosen if absent.
    #[serde(default)]
    pub timestamp: Option<Micros>,
    /// Width in pixels; the video's, at most 1280, if neither side is given.
    #[serde(default)]
    pub width: Option<u32>,
    /// Height in pixels.
    #[serde(default)]
    pub height: Option<u32>,
    /// Image format; JPEG if absent.
    #[serde(default)]
    pub format: Option<ImageFormat>,
}

/// Sprite sheets of small images, next to the manifests, with a `WebVTT` file that maps times to
/// them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sprite {
    /// Time between images; a hundredth of the duration if absent.
    #[serde(default)]
    pub interval: Option<Micros>,
    /// Width of one image in pixels; 160 if neither side is given.
    #[serde(default)]
    pub width: Option<u32>,
    /// Height of one image in pixels.
    #[serde(default)]
    pub height: Option<u32>,
    /// Images per row.
    #[serde(default)]
    pub columns: Option<u32>,
    /// Image format; JPEG if absent.
    #[serde(default)]
    pub format: Option<ImageFormat>,
}

impl Poster {
    /// The equivalent thumbnails request.
    pub fn pictures(&self) -> Thumbnails {
        Thumbnails {
            timestamp: self.timestamp,
            width: self.width,
            height: self.height,
            format: self.format,
            ..of_mode(ThumbnailMode::Single)
        }
    }
}

impl Sprite {
    /// The equivalent thumbnails request.
    pub fn pictures(&self) -> Thumbnails {
        Thumbnails {
            interval: self.interval,
            width: self.width,
            height: self.height,
            columns: self.columns,
            format: self.format,
            ..of_mode(ThumbnailMode::Sprite)
        }
    }
}

const fn of_mode(mode: ThumbnailMode) -> Thumbnails {
    Thumbnails {
        input: Personal::Erased,
        output: Personal::Erased,
        mode,
        timestamp: None,
        interval: None,
        count: None,
        width: None,
        height: None,
        format: None,
        columns: None,
        overwrite: Overwrite::Fail,
    }
}

/// Moves a rejection's pointer into a field of the enclosing request.
pub(crate) fn within(field: &str, refusal: PlanRejection) -> PlanRejection {
    // Problems of the input itself do not belong to the field.
    if refusal.pointer == "#/input" {
        return refusal;
    }
    let pointer = refusal.pointer.replacen('#', &format!("#/{field}"), 1);
    PlanRejection { pointer, ..refusal }
}
