use serde::{Deserialize, Serialize};

use crate::media::{
    Micros, PlanRejection,
    plan::{AudioFilter, OperationPath, PlanBuilder, VideoFilter, Window, as_seconds},
};

/// Keeps `start..end` of what came before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trim {
    /// Start of the kept part, inclusive.
    #[serde(default)]
    pub start: Micros,
    /// End of the kept part, exclusive; `None` to keep the rest.
    #[serde(default)]
    pub end: Option<Micros>,
}

impl Trim {
    pub(super) fn plan(
        &self,
        at: &OperationPath,
        builder: &mut PlanBuilder<'_>,
    ) -> Result<(), PlanRejection> {
        let Self { start, end } = *self;
        if end.is_some_and(|end| end <= start) {
            return at.refuse("start", "`trim` keeps nothing: its end is not after its start");
        }
        if let Some(duration) = builder.duration().filter(|duration| start >= *duration) {
            let seconds = as_seconds(duration);
            let detail =
                format!("`start` is at or after the end: the input lasts {seconds} s here");
            return at.refuse("start", detail);
        }
        let window = Window { start, end };
        // Where the input states no duration, the output is at most as long as the kept part.
        builder.container_duration = builder.container_duration.or(end);
        builder.change_ends(|until| until.min(end.unwrap_or(until)).saturating_sub(start));
        builder.cut(window);
        builder.update_video(|track| track.filters.push(VideoFilter::Trim(window)));
        builder.update_audio(|track| track.filters.push(AudioFilter::Trim(window)));
        Ok(())
    }
}
