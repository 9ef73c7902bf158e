use ffapi_domain::{
    Personal,
    media::{Paint, Position, SubtitleMode, Subtitles, Text, Watermark},
};
use poem_openapi::{Object, types::Any};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    media::{ERASED, InputLocation, value},
    problem::Problem,
};

/// Overlays an image on the video.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "Watermark", skip_serializing_if_is_none)]
pub(crate) struct WatermarkBody {
    /// PNG, JPEG or WebP.
    image: InputLocation,
    /// `top_left`, `top`, `top_right`, `left`, `center`, `right`, `bottom_left`, `bottom` or
    /// `bottom_right` (the default).
    position: Option<String>,
    /// Opacity, 0 to 1.
    opacity: Option<f64>,
    /// Its width as a fraction of the video's, 0.01 to 1; its own size if absent.
    scale: Option<f64>,
    /// Pixels between it and the edges; 16 if absent.
    margin: Option<u32>,
    start: Option<Any<Value>>,
    end: Option<Any<Value>>,
}

impl From<&Watermark> for WatermarkBody {
    fn from(watermark: &Watermark) -> Self {
        Self {
            image: InputLocation::from(&watermark.image),
            position: Some(value::name_of(&watermark.position)),
            opacity: watermark.opacity,
            scale: watermark.scale,
            margin: watermark.margin,
            start: watermark.start.map(value::seconds),
            end: watermark.end.map(value::seconds),
        }
    }
}

impl WatermarkBody {
    pub(super) const fn input_mut(&mut self) -> &mut InputLocation {
        &mut self.image
    }

    pub(super) fn read(self, at: impl Fn(&str) -> String) -> Result<Watermark, Problem> {
        Ok(Watermark {
            image: self.image.read(&at("image"))?,
            position: value::word::<Position>(self.position, &at("position"))?.unwrap_or_default(),
            opacity: self.opacity,
            scale: self.scale,
            margin: self.margin,
            start: value::time(self.start.as_ref(), &at("start"))?,
            end: value::time(self.end.as_ref(), &at("end"))?,
        })
    }
}

/// Draws text on the video.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "Text", skip_serializing_if_is_none)]
pub(crate) struct TextBody {
    text: String,
    /// One of the positions of `watermark`.
    position: Option<String>,
    /// Pixels; a twentieth of the video's height if absent.
    size: Option<u32>,
    /// `#RRGGBB`, `#RRGGBBAA` or a name; white if absent.
    color: Option<String>,
    /// Pixels between it and the edges; 16 if absent.
    margin: Option<u32>,
    start: Option<Any<Value>>,
    end: Option<Any<Value>>,
}

impl From<&Text> for TextBody {
    fn from(text: &Text) -> Self {
        Self {
            text: text.text.as_ref().map_or_else(|| ERASED.to_owned(), Clone::clone),
            position: Some(value::name_of(&text.position)),
            size: text.size,
            color: text.color.as_ref().map(value::name_of),
            margin: text.margin,
            start: text.start.map(value::seconds),
            end: text.end.map(value::seconds),
        }
    }
}

impl TextBody {
    pub(super) fn read(self, at: impl Fn(&str) -> String) -> Result<Text, Problem> {
        Ok(Text {
            text: Personal::Clear(self.text),
            position: value::word::<Position>(self.position, &at("position"))?.unwrap_or_default(),
            size: self.size,
            color: value::word::<Paint>(self.color, &at("color"))?,
            margin: self.margin,
            start: value::time(self.start.as_ref(), &at("start"))?,
            end: value::time(self.end.as_ref(), &at("end"))?,
        })
    }
}

/// Adds subtitles: burned into the video, as a stream, or as a file next to the output.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "Subtitles", skip_serializing_if_is_none)]
pub(crate) struct SubtitlesBody {
    /// SRT, ASS or WebVTT; a stream of the job's input if absent.
    input: Option<InputLocation>,
    /// `burn` (the default), `embed` or `sidecar` (WebVTT).
    mode: Option<String>,
    /// ISO 639; selects one of the input's own streams, and labels the subtitles for players.
    language: Option<String>,
}

impl From<&Subtitles> for SubtitlesBody {
    fn from(subtitles: &Subtitles) -> Self {
        Self {
            input: subtitles.input.as_ref().map(InputLocation::from),
            mode: Some(value::name_of(&subtitles.mode)),
            language: subtitles.language.clone(),
        }
    }
}

impl SubtitlesBody {
    pub(super) const fn input_mut(&mut self) -> Option<&mut InputLocation> {
        self.input.as_mut()
    }

    pub(super) fn read(self, at: impl Fn(&str) -> String) -> Result<Subtitles, Problem> {
        let input = self.input.as_ref().map(|input| input.read(&at("input")));
        Ok(Subtitles {
            input: input.transpose()?,
            mode: value::word::<SubtitleMode>(self.mode, &at("mode"))?.unwrap_or_default(),
            language: self.language,
        })
    }
}
