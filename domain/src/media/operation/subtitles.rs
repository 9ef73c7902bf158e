use serde::{Deserialize, Serialize};

use super::{Pick, tracks::is_picked};
use crate::{
    Personal,
    location::Location,
    media::{
        PlanRejection, StreamDetail,
        plan::{CueSource, OperationPath, PlanBuilder, SubtitlePlan, VideoFilter},
    },
};

/// Adds subtitles: burned into the video, as a stream that a player can switch on, or as a separate
/// file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subtitles {
    /// `SubRip`, ASS or `WebVTT` file; a stream of the job's input if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Personal<Location>>,
    /// How they are added.
    #[serde(default)]
    pub mode: SubtitleMode,
    /// ISO 639 language code; selects among the input's own streams, and is shown by players.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
}

/// How subtitles are added.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubtitleMode {
    /// Burned into the video.
    #[default]
    Burn,
    /// As a stream of the output.
    Embed,
    /// As a `.vtt` file next to the output.
    Sidecar,
}

impl Subtitles {
    pub(super) fn plan(
        &self,
        at: &OperationPath,
        builder: &mut PlanBuilder<'_>,
    ) -> Result<(), PlanRejection> {
        if let Some(language) = &self.language
            && !(2..=8).contains(&language.len())
        {
            return at.refuse("language", "`language` is an ISO 639 code like `en` or `eng`");
        }
        let source = self.source(at, builder)?;
        match self.mode {
            SubtitleMode::Burn => {
                let number = builder.cues.len();
                builder.cues.push(source);
                builder.require_video(at, "mode")?.filters.push(VideoFilter::Burn { cues: number });
            }
            SubtitleMode::Embed | SubtitleMode::Sidecar => {
                let sidecar = self.mode == SubtitleMode::Sidecar;
                let language = self.language.clone();
                builder.subtitles.push(SubtitlePlan { source, language, sidecar });
            }
        }
        Ok(())
    }

    fn source(
        &self,
        at: &OperationPath,
        builder: &mut PlanBuilder<'_>,
    ) -> Result<CueSource, PlanRejection> {
        if self.input.is_some() {
            let (input, facts) = builder.next_input();
            let Some(facts) = facts else {
                return Ok(CueSource { input, stream: 0, edits: vec![] });
            };
            let stream = facts.subtitles().next().map(|stream| stream.index);
            let Some(stream) = stream else {
                return at.refuse("input", "it holds no subtitles; SRT, ASS and WebVTT work");
            };
            return Ok(CueSource { input, stream, edits: vec![] });
        }
        let Some(facts) = builder.inputs.and_then(<[_]>::first) else {
            return Ok(builder.own_cues(0));
        };
        let mut own = facts.subtitles();
        let found = match &self.language {
            Some(language) => {
                own.find(|stream| is_picked(&Pick::Language(language.clone()), 0, stream))
            }
            None => own.next(),
        };
        match found {
            Some(stream) if stream.detail == (StreamDetail::Subtitle { text: false }) => at.refuse(
                "input",
                "the input's subtitles are bitmaps; only text subtitles can be used",
            ),
            Some(stream) => Ok(builder.own_cues(stream.index)),
            None => at.refuse("input", "the input has no such subtitles; name a file in `input`"),
        }
    }
}
