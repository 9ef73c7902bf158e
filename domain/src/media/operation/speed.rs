use serde::{Deserialize, Serialize};

use crate::media::{
    PlanRejection,
    plan::{AudioFilter, OperationPath, PlanBuilder, VideoFilter, stretched},
};

/// Plays everything faster or slower; the audio keeps its pitch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Speed {
    /// Speed factor: 2 is twice as fast, 0.5 half as fast.
    pub factor: f64,
}

impl Speed {
    pub(super) fn plan(
        &self,
        at: &OperationPath,
        builder: &mut PlanBuilder<'_>,
    ) -> Result<(), PlanRejection> {
        let factor = self.factor;
        if !(0.1..=100.0).contains(&factor) {
            return at.refuse("factor", "`factor` is 0.1 to 100; 2 is twice as fast");
        }
        builder.change_ends(|end| stretched(end, factor));
        builder.speed_up(factor);
        builder.update_video(|track| {
            track.filters.push(VideoFilter::Speed(factor));
            track.base_rate = None;
            if factor > 1.0 && track.rate.num > 0 && !track.variable_rate {
                // Otherwise doubling the speed would double the frame rate.
                track.filters.push(VideoFilter::Rate(track.rate));
            } else {
                track.variable_rate = true;
            }
        });
        builder.update_audio(|track| track.filters.push(AudioFilter::Speed(factor)));
        Ok(())
    }
}
