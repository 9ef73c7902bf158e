use ffapi_domain::media::Audio;
use poem_openapi::{Object, types::Any};
use serde::Deserialize;
use serde_json::Value;

use crate::{media::value, problem::Problem};

/// Changes the sound; its fields apply in the order in which they stand here.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "Audio")]
pub(super) struct AudioBody {
    /// Another file's sound instead.
    replace: Option<String>,
    /// No sound.
    remove: Option<bool>,
    /// Sound alone, without the picture.
    extract: Option<bool>,
    /// To a loudness by EBU R128, in two passes.
    normalize: Option<bool>,
    /// Where `normalize` ends; -23 when absent.
    target_lufs: Option<f64>,
    /// A factor; 1 changes nothing.
    volume: Option<f64>,
    /// From silence, over this long.
    fade_in: Option<Any<Value>>,
    /// To silence, over this long.
    fade_out: Option<Any<Value>>,
    /// 1, 2, 6 (5.1) or 8 (7.1).
    channels: Option<u32>,
    /// Hertz.
    sample_rate: Option<u32>,
}

impl AudioBody {
    pub(super) fn read(self, at: impl Fn(&str) -> String) -> Result<Audio, Problem> {
        let replace = self.replace.as_deref().map(|text| value::input(text, &at("replace")));
        Ok(Audio {
            replace: replace.transpose()?,
            remove: self.remove.unwrap_or(false),
            extract: self.extract.unwrap_or(false),
            normalize: self.normalize.unwrap_or(false),
            target_lufs: self.target_lufs,
            volume: self.volume,
            fade_in: value::time(self.fade_in.as_ref(), &at("fade_in"))?,
            fade_out: value::time(self.fade_out.as_ref(), &at("fade_out"))?,
            channels: self.channels,
            sample_rate: self.sample_rate,
        })
    }
}
