use ffapi_domain::{
    Personal,
    media::{Paint, Position, SubtitleMode, Subtitles, Text, Watermark},
};
use poem_openapi::{Object, types::Any};
use serde::Deserialize;
use serde_json::Value;

use crate::{media::value, problem::Problem};

/// Lays a still picture over the film.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "Watermark")]
pub(super) struct WatermarkBody {
    /// PNG, JPEG or WebP.
    image: String,
    /// `top_left`, `top`, `top_right`, `left`, `center`, `right`, `bottom_left`, `bottom` or
    /// `bottom_right`, the usual one.
    position: Option<String>,
    /// 0 to 1.
    opacity: Option<f64>,
    /// Its width as a part of the film's, 0.01 to 1; its own size when absent.
    scale: Option<f64>,
    /// Pixels between it and the edges; 16 when absent.
    margin: Option<u32>,
    start: Option<Any<Value>>,
    end: Option<Any<Value>>,
}

impl WatermarkBody {
    pub(super) fn read(self, at: impl Fn(&str) -> String) -> Result<Watermark, Problem> {
        Ok(Watermark {
            image: value::input(&self.image, &at("image"))?,
            position: value::word::<Position>(self.position, &at("position"))?.unwrap_or_default(),
            opacity: self.opacity,
            scale: self.scale,
            margin: self.margin,
            start: value::time(self.start.as_ref(), &at("start"))?,
            end: value::time(self.end.as_ref(), &at("end"))?,
        })
    }
}

/// Writes on the picture.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "Text")]
pub(super) struct TextBody {
    text: String,
    /// As for `watermark`.
    position: Option<String>,
    /// Pixels; a twentieth of the picture's height when absent.
    size: Option<u32>,
    /// `#RRGGBB`, `#RRGGBBAA` or a name; white when absent.
    color: Option<String>,
    /// Pixels between it and the edges; 16 when absent.
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

/// Shows what is said: on the picture, as a stream, or as a file beside the output.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "Subtitles")]
pub(super) struct SubtitlesBody {
    /// SRT, ASS or WebVTT; a stream of the job's input when absent.
    input: Option<String>,
    /// `burn`, the usual one, `embed` or `sidecar` (WebVTT).
    mode: Option<String>,
    /// ISO 639; chooses among the input's own, and is told to players.
    language: Option<String>,
}

impl SubtitlesBody {
    pub(super) fn read(self, at: impl Fn(&str) -> String) -> Result<Subtitles, Problem> {
        let input = self.input.as_deref().map(|text| value::input(text, &at("input")));
        Ok(Subtitles {
            input: input.transpose()?,
            mode: value::word::<SubtitleMode>(self.mode, &at("mode"))?.unwrap_or_default(),
            language: self.language,
        })
    }
}
