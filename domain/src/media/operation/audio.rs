use serde::{Deserialize, Serialize};

use crate::{
    Personal,
    location::Location,
    media::{
        MediaFacts, Micros, PlanRejection,
        plan::{AudioFilter, Draft, Place, Sound, Source},
    },
};

/// Changes the sound; its fields apply in the order in which they stand here.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Audio {
    /// Another file's sound instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replace: Option<Personal<Location>>,
    /// No sound.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub remove: bool,
    /// Sound alone, without the picture.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub extract: bool,
    /// To a loudness by EBU R128, in two passes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub normalize: bool,
    /// Where `normalize` ends; -23 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_lufs: Option<f64>,
    /// 1 changes nothing, 0.5 is half the amplitude.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<f64>,
    /// From silence, over this long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fade_in: Option<Micros>,
    /// To silence, over this long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fade_out: Option<Micros>,
    /// Count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<u32>,
    /// Hertz.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample_rate: Option<u32>,
}

impl Audio {
    pub(super) fn plan(&self, at: &Place, draft: &mut Draft<'_>) -> Result<(), PlanRejection> {
        self.check(at)?;
        if self.replace.is_some() {
            Self::replace(at, draft)?;
        }
        if self.remove {
            draft.sound = None;
            return Ok(());
        }
        if self.extract {
            draft.picture = None;
        }
        if *self == (Self { extract: true, ..Self::default() }) {
            draft.the_sound(at, "extract")?;
            return Ok(());
        }
        let duration = draft.duration;
        let sound = draft.the_sound(at, "")?;
        if self.normalize {
            if sound.filters.iter().any(|f| matches!(f, AudioFilter::Loudness(_))) {
                return at.refuse("normalize", "sound is normalized once; remove one of the two");
            }
            sound.filters.push(AudioFilter::Loudness(self.target_lufs.unwrap_or(-23.0)));
        }
        if let Some(volume) = self.volume {
            sound.filters.push(AudioFilter::Volume(volume));
        }
        if let Some(length) = self.fade_in {
            sound.filters.push(AudioFilter::FadeIn(length));
        }
        if let Some(length) = self.fade_out {
            let Some(end) = duration.or(draft.inputs.is_none().then_some(0)) else {
                let detail = "the input does not say how long it is; trim it with an `end` first";
                return at.refuse("fade_out", detail);
            };
            let start = end.saturating_sub(length);
            draft.on_sound(|sound| sound.filters.push(AudioFilter::FadeOut { start, length }));
        }
        draft.on_sound(|sound| {
            sound.channels = self.channels.or(sound.channels);
            sound.sample_rate = self.sample_rate.or(sound.sample_rate);
        });
        Ok(())
    }

    fn check(&self, at: &Place) -> Result<(), PlanRejection> {
        if *self == Self::default() {
            return at.refuse(
                "",
                "`audio` changes nothing; give it `volume`, `normalize` or another field",
            );
        }
        if self.remove && *self != (Self { remove: true, ..Self::default() }) {
            return at.refuse("remove", "`remove` leaves nothing for the other fields to change");
        }
        if self.target_lufs.is_some() && !self.normalize {
            return at.refuse("target_lufs", "`target_lufs` needs `\"normalize\": true`");
        }
        if self.target_lufs.is_some_and(|target| !(-70.0..=-5.0).contains(&target)) {
            return at.refuse("target_lufs", "`target_lufs` is -70 to -5");
        }
        if self.volume.is_some_and(|volume| !(0.0..=100.0).contains(&volume)) {
            return at.refuse("volume", "`volume` is 0 to 100; 1 changes nothing");
        }
        if self.channels.is_some_and(|channels| !matches!(channels, 1 | 2 | 6 | 8)) {
            return at.refuse("channels", "`channels` is 1, 2, 6 (5.1) or 8 (7.1)");
        }
        if self.sample_rate.is_some_and(|rate| !(8_000..=192_000).contains(&rate)) {
            return at.refuse("sample_rate", "`sample_rate` is 8000 to 192000 hertz");
        }
        Ok(())
    }

    fn replace(at: &Place, draft: &mut Draft<'_>) -> Result<(), PlanRejection> {
        let (input, facts) = draft.next_input();
        let found = facts.and_then(MediaFacts::audio);
        if facts.is_some() && found.is_none() {
            return at.refuse("replace", "that file has no sound");
        }
        let source = match found {
            Some((stream, _)) => Source { input, stream: stream.index },
            None => Source { input, stream: 0 },
        };
        let mut sound = Sound::of(source);
        // The film is as long as it was: longer sound is cut, shorter ends in silence.
        if let (Some(duration), true) = (draft.duration, draft.picture.is_some()) {
            sound.filters.push(AudioFilter::Fill(duration));
        } else if let Some(facts) = facts {
            draft.duration = facts.duration;
        }
        draft.sound = Some(sound);
        Ok(())
    }
}
