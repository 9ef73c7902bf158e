use serde::{Deserialize, Serialize};

use crate::media::{
    PlanRejection, Rational,
    plan::{OperationPath, PlanBuilder, VideoFilter},
};

/// Converts to a constant frame rate, by repeating and dropping frames.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fps {
    /// Frames per second, in thousandths.
    pub millifps: u32,
}

impl Fps {
    pub(super) fn plan(
        &self,
        at: &OperationPath,
        builder: &mut PlanBuilder<'_>,
    ) -> Result<(), PlanRejection> {
        if !(1_000..=240_000).contains(&self.millifps) {
            return at.refuse("fps", "fps is 1 to 240");
        }
        let track = builder.require_video(at, "fps")?;
        let rate = Rational::from_millifps(self.millifps);
        track.filters.push(VideoFilter::Rate(rate));
        track.rate = rate;
        track.variable_rate = false;
        Ok(())
    }
}
