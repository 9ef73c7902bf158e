use serde::{Deserialize, Serialize};

use crate::media::{
    PlanRejection, Rational,
    plan::{Draft, Place, VideoFilter},
};

/// Gives the picture a constant frame rate, by repeating and dropping frames.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fps {
    /// Frames per second, in thousandths.
    pub millifps: u32,
}

impl Fps {
    pub(super) fn plan(&self, at: &Place, draft: &mut Draft<'_>) -> Result<(), PlanRejection> {
        if !(1_000..=240_000).contains(&self.millifps) {
            return at.refuse("fps", "fps is 1 to 240");
        }
        let picture = draft.the_picture(at, "fps")?;
        let rate = Rational::from_millifps(self.millifps);
        picture.filters.push(VideoFilter::Rate(rate));
        picture.rate = rate;
        picture.variable_rate = false;
        Ok(())
    }
}
