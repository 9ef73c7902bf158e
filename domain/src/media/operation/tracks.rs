use serde::{Deserialize, Serialize};

use crate::media::{
    PlanRejection, StreamDetail, StreamFacts,
    plan::{Draft, Place, Source, SubtitlePlan},
};

/// Chooses streams of the input; without it, its best picture and its best sound are taken.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tracks {
    /// Which sounds, in this order; none leaves the best one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio: Option<Vec<Pick>>,
    /// Which subtitles become streams of the output, in this order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subtitles: Option<Vec<Pick>>,
}

/// One or more streams of a kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Pick {
    /// The n-th of its kind, from 0.
    Index(u32),
    /// Every one in a language; `all` for every one.
    Language(String),
}

/// Whether a pick means a stream, the `place`-th of its kind.
pub(crate) fn find(pick: &Pick, place: usize, stream: &StreamFacts) -> bool {
    match pick {
        Pick::Index(index) => usize::try_from(*index).is_ok_and(|index| index == place),
        Pick::Language(language) if language == "all" => true,
        Pick::Language(language) => {
            let known = stream.language.as_deref().unwrap_or("und");
            known == language || same_language(known, language)
        }
    }
}

/// Two letters and three letters for the same language.
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
    pub(super) fn plan(&self, at: &Place, draft: &mut Draft<'_>) -> Result<(), PlanRejection> {
        if self.audio.is_none() && self.subtitles.is_none() {
            return at.refuse("", "`tracks` chooses nothing; give it `audio` or `subtitles`");
        }
        let facts = draft.inputs.and_then(<[_]>::first);
        if let Some(picks) = &self.audio {
            let chosen: Vec<&StreamFacts> = match facts {
                Some(facts) => {
                    let sounds: Vec<_> = facts.sounds().map(|(stream, _)| stream).collect();
                    choose(at, "audio", picks, &sounds)?
                }
                None => vec![],
            };
            let sources = chosen.iter().map(|s| Source { input: 0, stream: s.index }).collect();
            let known = facts.is_some();
            let sound = draft.the_sound(at, "audio")?;
            if known {
                sound.sources = sources;
            }
        }
        let Some((picks, facts)) = self.subtitles.as_ref().zip(facts) else { return Ok(()) };
        let all: Vec<&StreamFacts> = facts.subtitles().collect();
        for stream in choose(at, "subtitles", picks, &all)? {
            if stream.detail == (StreamDetail::Subtitle { text: false }) {
                let detail = format!("subtitle stream {} is pictures, not text", stream.index);
                return at.refuse("subtitles", detail);
            }
            draft.subtitles.push(SubtitlePlan {
                source: draft.own_cues(stream.index),
                language: stream.language.clone(),
                sidecar: false,
            });
        }
        Ok(())
    }
}

fn choose<'a>(
    at: &Place,
    field: &str,
    picks: &[Pick],
    all: &[&'a StreamFacts],
) -> Result<Vec<&'a StreamFacts>, PlanRejection> {
    let mut chosen: Vec<&StreamFacts> = Vec::new();
    for (number, pick) in picks.iter().enumerate() {
        let found: Vec<_> =
            all.iter().enumerate().filter(|(place, s)| find(pick, *place, s)).collect();
        if found.is_empty() {
            let have: Vec<String> = all
                .iter()
                .enumerate()
                .map(|(n, s)| format!("{n} ({})", s.language.as_deref().unwrap_or("und")))
                .collect();
            let have = if have.is_empty() { "none".to_owned() } else { have.join(", ") };
            let detail = format!("the input has no such stream; it has {have}");
            return at.refuse(&format!("{field}/{number}"), detail);
        }
        for (_, stream) in found {
            if !chosen.iter().any(|there| there.index == stream.index) {
                chosen.push(stream);
            }
        }
    }
    if chosen.is_empty() {
        return at.refuse(field, format!("`{field}` names no stream; leave it out or name one"));
    }
    Ok(chosen)
}
