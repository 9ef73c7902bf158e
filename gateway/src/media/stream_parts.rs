//! The parts of a request for a stream, as clients send them and as they are shown.

use ffapi_domain::media::{Caption, ImageFormat, Poster, Sprite, Variant};
use poem_openapi::{Object, types::Any};
use serde::Deserialize;
use serde_json::Value;

use super::{InputLocation, value};
use crate::problem::Problem;

/// One rendition of the ladder; with neither `crf` nor `video_bitrate`, constant quality below a
/// cap.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "StreamVariant", skip_serializing_if_is_none)]
pub(crate) struct VariantBody {
    /// The name of its folder.
    name: String,
    width: Option<u32>,
    height: Option<u32>,
    video_bitrate: Option<Any<Value>>,
    crf: Option<u8>,
    /// All renditions share the audio, so the largest value in the ladder is used.
    audio_bitrate: Option<Any<Value>>,
}

/// Captions in one language.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "StreamCaption", skip_serializing_if_is_none)]
pub(crate) struct CaptionBody {
    /// SRT, ASS or WebVTT.
    input: InputLocation,
    language: String,
    /// The label that a player shows.
    name: Option<String>,
}

/// One frame of the video next to the manifests: `poster.jpg`.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "StreamPoster", skip_serializing_if_is_none)]
pub(crate) struct PosterBody {
    /// The time of the frame; a representative one is chosen if absent.
    timestamp: Option<Any<Value>>,
    /// Pixels; if neither side is given, the video's own width, at most 1280.
    width: Option<u32>,
    height: Option<u32>,
    /// `jpeg`, `png` or `webp`.
    format: Option<String>,
}

/// Thumbnail sheets for a seek bar next to the manifests: `sprite-1.jpg`, …, and `sprite.vtt`.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "StreamSprite", skip_serializing_if_is_none)]
pub(crate) struct SpriteBody {
    /// Time between two thumbnails; a hundredth of the duration if absent.
    interval: Option<Any<Value>>,
    /// Pixels of one thumbnail; 160 wide if neither side is given.
    width: Option<u32>,
    height: Option<u32>,
    /// Thumbnails in a row.
    columns: Option<u32>,
    /// `jpeg`, `png` or `webp`.
    format: Option<String>,
}

impl PosterBody {
    pub(crate) fn read(&self) -> Result<Poster, Problem> {
        Ok(Poster {
            timestamp: value::time(self.timestamp.as_ref(), "#/poster/timestamp")?,
            width: self.width,
            height: self.height,
            format: value::word::<ImageFormat>(self.format.clone(), "#/poster/format")?,
        })
    }
}

impl SpriteBody {
    pub(crate) fn read(&self) -> Result<Sprite, Problem> {
        Ok(Sprite {
            interval: value::time(self.interval.as_ref(), "#/sprite/interval")?,
            width: self.width,
            height: self.height,
            columns: self.columns,
            format: value::word::<ImageFormat>(self.format.clone(), "#/sprite/format")?,
        })
    }
}

impl VariantBody {
    pub(crate) fn read(&self, index: usize) -> Result<Variant, Problem> {
        let at = |field: &str| format!("#/variants/{index}/{field}");
        Ok(Variant {
            name: self.name.clone(),
            width: self.width,
            height: self.height,
            video_bitrate: value::bitrate(self.video_bitrate.clone(), &at("video_bitrate"))?,
            crf: self.crf,
            audio_bitrate: value::bitrate(self.audio_bitrate.clone(), &at("audio_bitrate"))?,
        })
    }
}

impl CaptionBody {
    pub(crate) const fn input_mut(&mut self) -> &mut InputLocation {
        &mut self.input
    }

    pub(crate) fn read(&self, index: usize) -> Result<Caption, Problem> {
        Ok(Caption {
            input: self.input.read(&format!("#/captions/{index}/input"))?,
            language: self.language.clone(),
            name: self.name.clone(),
        })
    }
}

impl From<&Poster> for PosterBody {
    fn from(poster: &Poster) -> Self {
        Self {
            timestamp: poster.timestamp.map(value::seconds),
            width: poster.width,
            height: poster.height,
            format: poster.format.map(|format| format.as_str().to_owned()),
        }
    }
}

impl From<&Sprite> for SpriteBody {
    fn from(sprite: &Sprite) -> Self {
        Self {
            interval: sprite.interval.map(value::seconds),
            width: sprite.width,
            height: sprite.height,
            columns: sprite.columns,
            format: sprite.format.map(|format| format.as_str().to_owned()),
        }
    }
}

impl From<&Variant> for VariantBody {
    fn from(variant: &Variant) -> Self {
        Self {
            name: variant.name.clone(),
            width: variant.width,
            height: variant.height,
            video_bitrate: variant.video_bitrate.map(value::bits),
            crf: variant.crf,
            audio_bitrate: variant.audio_bitrate.map(value::bits),
        }
    }
}

impl From<&Caption> for CaptionBody {
    fn from(caption: &Caption) -> Self {
        Self {
            input: InputLocation::from(&caption.input),
            language: caption.language.clone(),
            name: caption.name.clone(),
        }
    }
}
