use ffapi_domain::{
    Personal,
    media::{Concat, Pick, Speed, Tracks, Trim},
};
use poem_openapi::{Object, types::Any};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    media::{InputLocation, value},
    problem::{Kind, Problem},
};

/// Keeps a section: `start` and either `duration` or `end`, in seconds or `[HH:]MM:SS.mmm`.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "Trim", skip_serializing_if_is_none)]
pub(crate) struct TrimBody {
    start: Option<Any<Value>>,
    duration: Option<Any<Value>>,
    end: Option<Any<Value>>,
}

impl From<&Trim> for TrimBody {
    fn from(trim: &Trim) -> Self {
        Self {
            start: Some(value::seconds(trim.start)),
            duration: None,
            end: trim.end.map(value::seconds),
        }
    }
}

impl TrimBody {
    pub(super) fn read(self, at: impl Fn(&str) -> String) -> Result<Trim, Problem> {
        let start = value::time(self.start.as_ref(), &at("start"))?.unwrap_or(0);
        let duration = value::time(self.duration.as_ref(), &at("duration"))?;
        let end = match (duration, value::time(self.end.as_ref(), &at("end"))?) {
            (Some(_), Some(_)) => {
                let detail = "give `duration` or `end`, not both";
                return Err(Problem::field(Kind::Invalid, &at("end"), detail));
            }
            (Some(duration), None) => Some(start.saturating_add(duration)),
            (None, end) => end,
        };
        Ok(Trim { start, end })
    }
}

/// Speeds up or slows down video and audio; the audio keeps its pitch.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "Speed", skip_serializing_if_is_none)]
pub(crate) struct SpeedBody {
    /// 0.1 to 100; 2 is twice as fast.
    factor: f64,
}

impl From<&Speed> for SpeedBody {
    fn from(speed: &Speed) -> Self {
        Self { factor: speed.factor }
    }
}

impl SpeedBody {
    pub(super) const fn read(self) -> Speed {
        Speed { factor: self.factor }
    }
}

/// Appends other files, fitted to the size, frame rate and audio format so far.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "Concat", skip_serializing_if_is_none)]
pub(crate) struct ConcatBody {
    /// 1 to 20 locations.
    inputs: Vec<InputLocation>,
}

impl From<&Concat> for ConcatBody {
    fn from(concat: &Concat) -> Self {
        Self { inputs: concat.inputs.iter().map(InputLocation::from).collect() }
    }
}

impl ConcatBody {
    pub(super) fn inputs_mut(&mut self) -> impl Iterator<Item = &mut InputLocation> {
        self.inputs.iter_mut()
    }

    pub(super) fn read(self, at: impl Fn(&str) -> String) -> Result<Concat, Problem> {
        let inputs = self.inputs.iter().enumerate();
        let inputs = inputs.map(|(n, input)| input.read(&at(&format!("inputs/{n}"))));
        Ok(Concat { inputs: inputs.collect::<Result<Vec<Personal<_>>, Problem>>()? })
    }
}

/// Selects streams of the input; without it, the best video and the best audio stream are used.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "Tracks", skip_serializing_if_is_none)]
pub(crate) struct TracksBody {
    /// Each a number from 0, a language like `en`, or `all`.
    audio: Option<Vec<Any<Value>>>,
    /// Each a number from 0, a language like `en`, or `all`; they become streams of the output.
    subtitles: Option<Vec<Any<Value>>>,
}

impl From<&Tracks> for TracksBody {
    fn from(tracks: &Tracks) -> Self {
        let picks = |picks: &Vec<Pick>| picks.iter().map(|pick| Any(json!(pick))).collect();
        Self {
            audio: tracks.audio.as_ref().map(picks),
            subtitles: tracks.subtitles.as_ref().map(picks),
        }
    }
}

impl TracksBody {
    pub(super) fn read(self, at: impl Fn(&str) -> String) -> Result<Tracks, Problem> {
        let picks = |field: &str, picks: Option<Vec<Any<Value>>>| {
            let Some(picks) = picks else { return Ok(None) };
            let one = |(n, pick): (usize, Any<Value>)| {
                serde_json::from_value::<Pick>(pick.0).map_err(|_| {
                    let detail = "a track is a number from 0, a language like \"en\", or \"all\"";
                    Problem::field(Kind::Invalid, &at(&format!("{field}/{n}")), detail)
                })
            };
            picks.into_iter().enumerate().map(one).collect::<Result<Vec<Pick>, Problem>>().map(Some)
        };
        Ok(Tracks {
            audio: picks("audio", self.audio)?,
            subtitles: picks("subtitles", self.subtitles)?,
        })
    }
}
