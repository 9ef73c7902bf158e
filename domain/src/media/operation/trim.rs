use serde::{Deserialize, Serialize};

use crate::media::{
    Micros, PlanRejection,
    plan::{AudioFilter, Draft, Place, VideoFilter, Window, as_seconds},
};

/// Keeps `start..end` of what came before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trim {
    /// First instant kept.
    #[serde(default)]
    pub start: Micros,
    /// First instant not kept; none for the rest.
    #[serde(default)]
    pub end: Option<Micros>,
}

impl Trim {
    pub(super) fn plan(&self, at: &Place, draft: &mut Draft<'_>) -> Result<(), PlanRejection> {
        let Self { start, end } = *self;
        if end.is_some_and(|end| end <= start) {
            return at.refuse("start", "`trim` keeps nothing: its end is not after its start");
        }
        if let Some(duration) = draft.duration.filter(|duration| start >= *duration) {
            let seconds = as_seconds(duration);
            let detail =
                format!("`start` is at or after the end: the input lasts {seconds} s here");
            return at.refuse("start", detail);
        }
        let window = Window { start, end };
        draft.duration = match (draft.duration, end) {
            (Some(duration), Some(end)) => Some(duration.min(end)),
            (duration, end) => duration.or(end),
        }
        .map(|until| until.saturating_sub(start));
        draft.cut(window);
        draft.on_picture(|picture| picture.filters.push(VideoFilter::Trim(window)));
        draft.on_sound(|sound| sound.filters.push(AudioFilter::Trim(window)));
        Ok(())
    }
}
