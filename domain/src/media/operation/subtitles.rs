use serde::{Deserialize, Serialize};

use super::{Pick, tracks::find};
use crate::{
    Personal,
    location::Location,
    media::{
        PlanRejection, StreamDetail,
        plan::{CueSource, Draft, Place, SubtitlePlan, VideoFilter},
    },
};

/// Shows what is said: on the picture, as a stream a player can switch on, or as a file beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subtitles {
    /// `SubRip`, ASS or `WebVTT`; a stream of the job's input when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Personal<Location>>,
    /// How.
    #[serde(default)]
    pub mode: SubtitleMode,
    /// ISO 639; chooses among the input's own, and is told to players.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
}

/// How subtitles are shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubtitleMode {
    /// On the picture, for good.
    #[default]
    Burn,
    /// As a stream of the output.
    Embed,
    /// As a `.vtt` file beside the output.
    Sidecar,
}

impl Subtitles {
    pub(super) fn plan(&self, at: &Place, draft: &mut Draft<'_>) -> Result<(), PlanRejection> {
        if let Some(language) = &self.language
            && !(2..=8).contains(&language.len())
        {
            return at.refuse("language", "`language` is an ISO 639 code like `en` or `eng`");
        }
        let source = self.source(at, draft)?;
        match self.mode {
            SubtitleMode::Burn => {
                let number = draft.cues.len();
                draft.cues.push(source);
                draft.the_picture(at, "mode")?.filters.push(VideoFilter::Burn { cues: number });
            }
            SubtitleMode::Embed | SubtitleMode::Sidecar => {
                let sidecar = self.mode == SubtitleMode::Sidecar;
                let language = self.language.clone();
                draft.subtitles.push(SubtitlePlan { source, language, sidecar });
            }
        }
        Ok(())
    }

    fn source(&self, at: &Place, draft: &mut Draft<'_>) -> Result<CueSource, PlanRejection> {
        if self.input.is_some() {
            let (input, facts) = draft.next_input();
            let Some(facts) = facts else {
                return Ok(CueSource { input, stream: 0, edits: vec![] });
            };
            let stream = facts.subtitles().next().map(|stream| stream.index);
            let Some(stream) = stream else {
                return at.refuse("input", "it holds no subtitles; SRT, ASS and WebVTT work");
            };
            return Ok(CueSource { input, stream, edits: vec![] });
        }
        let Some(facts) = draft.inputs.and_then(<[_]>::first) else {
            return Ok(draft.own_cues(0));
        };
        let mut own = facts.subtitles();
        let found = match &self.language {
            Some(language) => own.find(|stream| find(&Pick::Language(language.clone()), 0, stream)),
            None => own.next(),
        };
        match found {
            Some(stream) if stream.detail == (StreamDetail::Subtitle { text: false }) => {
                at.refuse("input", "the input's subtitles are pictures; only text can be used")
            }
            Some(stream) => Ok(draft.own_cues(stream.index)),
            None => at.refuse("input", "the input has no such subtitles; name a file in `input`"),
        }
    }
}
