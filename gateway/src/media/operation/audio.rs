use ffapi_domain::media::Audio;
use poem_openapi::{Object, types::Any};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    media::{InputLocation, value},
    problem::Problem,
};

/// Changes the audio; the fields are applied in the order in which they are listed here.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "Audio", skip_serializing_if_is_none)]
pub(crate) struct AudioBody {
    /// A file whose audio replaces the input's.
    replace: Option<InputLocation>,
    /// True to remove the audio.
    remove: Option<bool>,
    /// True to keep the audio only, without video.
    extract: Option<bool>,
    /// True to normalize the loudness by EBU R128, in two passes.
    normalize: Option<bool>,
    /// The target of `normalize`; -23 if absent.
    target_lufs: Option<f64>,
    /// A factor; 1 changes nothing.
    volume: Option<f64>,
    /// Duration of a fade from silence.
    fade_in: Option<Any<Value>>,
    /// Duration of a fade to silence.
    fade_out: Option<Any<Value>>,
    /// 1, 2, 6 (5.1) or 8 (7.1).
    channels: Option<u32>,
    /// Sample rate in hertz.
    sample_rate: Option<u32>,
}

impl From<&Audio> for AudioBody {
    fn from(audio: &Audio) -> Self {
        Self {
            replace: audio.replace.as_ref().map(InputLocation::from),
            remove: audio.remove.then_some(true),
            extract: audio.extract.then_some(true),
            normalize: audio.normalize.then_some(true),
            target_lufs: audio.target_lufs,
            volume: audio.volume,
            fade_in: audio.fade_in.map(value::seconds),
            fade_out: audio.fade_out.map(value::seconds),
            channels: audio.channels,
            sample_rate: audio.sample_rate,
        }
    }
}

impl AudioBody {
    pub(super) const fn input_mut(&mut self) -> Option<&mut InputLocation> {
        self.replace.as_mut()
    }

    pub(super) fn read(self, at: impl Fn(&str) -> String) -> Result<Audio, Problem> {
        let replace = self.replace.as_ref().map(|input| input.read(&at("replace")));
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
