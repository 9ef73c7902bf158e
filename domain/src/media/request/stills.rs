use serde::{Deserialize, Serialize};

use super::{Micros, Overwrite, PictureFormat, ThumbnailMode, Thumbnails};
use crate::{Personal, media::PlanRejection};

/// A still of a film, beside its manifests.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Poster {
    /// The instant; a good one is chosen when absent.
    #[serde(default)]
    pub timestamp: Option<Micros>,
    /// Pixels; the film's, and 1280 at most, when neither side is given.
    #[serde(default)]
    pub width: Option<u32>,
    /// Pixels.
    #[serde(default)]
    pub height: Option<u32>,
    /// JPEG when absent.
    #[serde(default)]
    pub format: Option<PictureFormat>,
}

/// Small pictures of a film on sheets, beside its manifests, with a text that says what is where.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sprite {
    /// From one picture to the next; a hundredth of the film when absent.
    #[serde(default)]
    pub interval: Option<Micros>,
    /// Pixels of one picture; 160 wide when neither side is given.
    #[serde(default)]
    pub width: Option<u32>,
    /// Pixels of one picture.
    #[serde(default)]
    pub height: Option<u32>,
    /// Pictures in a row.
    #[serde(default)]
    pub columns: Option<u32>,
    /// JPEG when absent.
    #[serde(default)]
    pub format: Option<PictureFormat>,
}

impl Poster {
    /// The pictures that a job of their own would take.
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
    /// The pictures that a job of their own would take.
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

/// A refusal of pictures that are a field of something else.
pub(crate) fn within(field: &str, refusal: PlanRejection) -> PlanRejection {
    // What is wrong with the film itself is not the field's fault.
    if refusal.pointer == "#/input" {
        return refusal;
    }
    let pointer = refusal.pointer.replacen('#', &format!("#/{field}"), 1);
    PlanRejection { pointer, ..refusal }
}
