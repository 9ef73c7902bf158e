use ffapi_domain::{
    Personal,
    media::{Paint, Position, SubtitleMode, Subtitles, Text, Watermark},
};
use poem_openapi::{Object, types::Any};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    media::{InputLocation, value},
    problem::Problem,
};

/// Overlays an image on the video.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "Watermark")]
pub(super) struct WatermarkBody {
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

impl WatermarkBody {
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
#[oai(rename = "Text")]
pub(super) struct TextBody {
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
#[oai(rename = "Subtitles")]
pub(super) struct SubtitlesBody {
    /// SRT, ASS or WebVTT; a stream of the job's input if absent.
    input: Option<InputLocation>,
    /// `burn` (the default), `embed` or `sidecar` (WebVTT).
    mode: Option<String>,
    /// ISO 639; selects one of the input's own streams, and labels the subtitles for players.
    language: Option<String>,
}

impl SubtitlesBody {
    pub(super) fn read(self, at: impl Fn(&str) -> String) -> Result<Subtitles, Problem> {
        let input = self.input.as_ref().map(|input| input.read(&at("input")));
        Ok(Subtitles {
            input: input.transpose()?,
            mode: value::word::<SubtitleMode>(self.mode, &at("mode"))?.unwrap_or_default(),
            language: self.language,
        })
    }
}
