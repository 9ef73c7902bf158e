use serde::{Deserialize, Serialize};

use crate::media::{
    PlanRejection,
    plan::{AudioFilter, Draft, Place, VideoFilter, stretched},
};

/// Plays everything faster or slower; the sound keeps its pitch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Speed {
    /// 2 is twice as fast, 0.5 half as fast.
    pub factor: f64,
}

impl Speed {
    pub(super) fn plan(&self, at: &Place, draft: &mut Draft<'_>) -> Result<(), PlanRejection> {
        let factor = self.factor;
        if !(0.1..=100.0).contains(&factor) {
            return at.refuse("factor", "`factor` is 0.1 to 100; 2 is twice as fast");
        }
        draft.duration = draft.duration.map(|duration| stretched(duration, factor));
        draft.speed_up(factor);
        draft.on_picture(|picture| {
            picture.filters.push(VideoFilter::Speed(factor));
            if factor > 1.0 && picture.rate.num > 0 {
                // Else twice as fast would mean twice as many pictures a second.
                picture.filters.push(VideoFilter::Rate(picture.rate));
            } else {
                picture.variable_rate = true;
            }
        });
        draft.on_sound(|sound| sound.filters.push(AudioFilter::Speed(factor)));
        Ok(())
    }
}
