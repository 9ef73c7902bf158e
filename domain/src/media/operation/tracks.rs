use serde::{Deserialize, Serialize};

use crate::media::{
    PlanRejection, StreamDetail, StreamFacts,
    plan::{OperationPath, PlanBuilder, Source, SubtitlePlan},
};

/// Selects streams of the input; without it, the best video stream and the best audio stream are
/// used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tracks {
    /// Audio streams to keep, in this order; the best one if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio: Option<Vec<Pick>>,
    /// Subtitle streams to keep in the output, in this order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subtitles: Option<Vec<Pick>>,
}

/// One or more streams of a kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Pick {
    /// The n-th stream of its kind, starting at 0.
    Index(u32),
    /// All streams in a language; `all` for every one.
    Language(String),
}

/// True if a pick selects this stream, the `position`-th of its kind.
pub(crate) fn is_picked(pick: &Pick, position: usize, stream: &StreamFacts) -> bool {
    match pick {
        Pick::Index(index) => usize::try_from(*index).is_ok_and(|index| index == position),
        Pick::Language(language) if language == "all" => true,
        Pick::Language(language) => {
            let known = stream.language.as_deref().unwrap_or("und");
            known == language || same_language(known, language)
        }
    }
}

/// Matches two-letter and three-letter codes of the same language.
fn same_language(three: &str, two: &str) -> bool {
    const PAIRS: [(&str, &str); 20] = [
        ("eng", "en"),
        ("deu", "de"),
        ("ger", "de"),
        ("fra", "fr"),
        ("fre", "fr"),
        ("spa", "es"),
        ("ita", "it"),
        ("por", "pt"),
        ("nld", "nl"),
        ("dut", "nl"),
        ("pol", "pl"),
        ("rus", "ru"),
        ("ukr", "uk"),
        ("tur", "tr"),
        ("ara", "ar"),
        ("heb", "he"),
        ("jpn", "ja"),
        ("kor", "ko"),
        ("zho", "zh"),
        ("chi", "zh"),
    ];
    let two_of = |word: &str| PAIRS.iter().find(|(three, _)| *three == word).map(|(_, two)| *two);
    two_of(three).unwrap_or(three) == two_of(two).unwrap_or(two)
}

impl Tracks {
    pub(super) fn plan(
        &self,
        at: &OperationPath,
        builder: &mut PlanBuilder<'_>,
    ) -> Result<(), PlanRejection> {
        if self.audio.is_none() && self.subtitles.is_none() {
            return at.refuse("", "`tracks` chooses nothing; give it `audio` or `subtitles`");
        }
        let facts = builder.inputs.and_then(<[_]>::first);
        if let Some(picks) = &self.audio {
            let chosen: Vec<&StreamFacts> = match facts {
                Some(facts) => {
                    let streams: Vec<_> = facts.audio_streams().map(|(stream, _)| stream).collect();
                    choose(at, "audio", picks, &streams)?
                }
                None => vec![],
            };
            let sources = chosen.iter().map(|s| Source { input: 0, stream: s.index }).collect();
            let ends: Option<Vec<_>> = chosen.iter().map(|s| builder.end_of(s)).collect();
            let known = facts.is_some();
            let track = builder.require_audio(at, "audio")?;
            if known {
                track.sources = sources;
                track.end = ends.and_then(|ends| ends.into_iter().max());
            }
        }
        let Some((picks, facts)) = self.subtitles.as_ref().zip(facts) else { return Ok(()) };
        let all: Vec<&StreamFacts> = facts.subtitles().collect();
        for stream in choose(at, "subtitles", picks, &all)? {
            if stream.detail == (StreamDetail::Subtitle { text: false }) {
                let detail = format!("subtitle stream {} has bitmaps, not text", stream.index);
                return at.refuse("subtitles", detail);
            }
            builder.subtitles.push(SubtitlePlan {
                source: builder.own_cues(stream.index),
                language: stream.language.clone(),
                sidecar: false,
            });
        }
        Ok(())
    }
}

fn choose<'a>(
    at: &OperationPath,
    field: &str,
    picks: &[Pick],
    all: &[&'a StreamFacts],
) -> Result<Vec<&'a StreamFacts>, PlanRejection> {
    let mut chosen: Vec<&StreamFacts> = Vec::new();
    for (number, pick) in picks.iter().enumerate() {
        let found: Vec<_> =
            all.iter().enumerate().filter(|(position, s)| is_picked(pick, *position, s)).collect();
        if found.is_empty() {
            let available: Vec<String> = all
                .iter()
                .enumerate()
                .map(|(n, s)| format!("{n} ({})", s.language.as_deref().unwrap_or("und")))
                .collect();
            let available =
                if available.is_empty() { "none".to_owned() } else { available.join(", ") };
            let detail = format!("the input has no such stream; it has {available}");
            return at.refuse(&format!("{field}/{number}"), detail);
        }
        for (_, stream) in found {
            if !chosen.iter().any(|other| other.index == stream.index) {
                chosen.push(stream);
            }
        }
    }
    if chosen.is_empty() {
        return at.refuse(field, format!("`{field}` names no stream; leave it out or name one"));
    }
    Ok(chosen)
}
