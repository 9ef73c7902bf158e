use serde::{Deserialize, Serialize};

use crate::{
    Personal,
    location::Location,
    media::{
        MediaFacts, Micros, PlanRejection,
        plan::{AudioFilter, AudioTrack, OperationPath, PlanBuilder, Source},
    },
};

/// Changes the audio; its fields apply in the order in which they are declared here.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Audio {
    /// Replaces the audio with that of another file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replace: Option<Personal<Location>>,
    /// Removes the audio.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub remove: bool,
    /// Keeps only the audio, without the video.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub extract: bool,
    /// Normalises the loudness by EBU R128, in two passes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub normalize: bool,
    /// Target loudness of `normalize` in LUFS; -23 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_lufs: Option<f64>,
    /// Amplitude factor: 1 changes nothing, 0.5 halves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<f64>,
    /// Duration of a fade from silence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fade_in: Option<Micros>,
    /// Duration of a fade to silence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fade_out: Option<Micros>,
    /// Number of channels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<u32>,
    /// Sample rate in hertz.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample_rate: Option<u32>,
}

impl Audio {
    pub(super) fn plan(
        &self,
        at: &OperationPath,
        builder: &mut PlanBuilder<'_>,
    ) -> Result<(), PlanRejection> {
        self.check(at)?;
        builder.may_add_audio &= !self.remove;
        if self.replace.is_some() {
            Self::replace(at, builder)?;
        }
        if self.remove {
            builder.audio = None;
            return Ok(());
        }
        if self.extract {
            builder.video = None;
        }
        if *self == (Self { extract: true, ..Self::default() }) {
            builder.require_audio(at, "extract")?;
            return Ok(());
        }
        let duration = builder.duration();
        let track = builder.require_audio(at, "")?;
        if self.normalize {
            if track.filters.iter().any(|f| matches!(f, AudioFilter::Loudness(_))) {
                return at.refuse(
                    "normalize",
                    "audio can only be normalized once; remove one of the two",
                );
            }
            track.filters.push(AudioFilter::Loudness(self.target_lufs.unwrap_or(-23.0)));
        }
        if let Some(volume) = self.volume {
            track.filters.push(AudioFilter::Volume(volume));
        }
        if let Some(length) = self.fade_in {
            track.filters.push(AudioFilter::FadeIn(length));
        }
        if let Some(length) = self.fade_out {
            let Some(end) = duration.or(builder.inputs.is_none().then_some(0)) else {
                let detail = "the input does not say how long it is; trim it with an `end` first";
                return at.refuse("fade_out", detail);
            };
            let start = end.saturating_sub(length);
            builder
                .update_audio(|track| track.filters.push(AudioFilter::FadeOut { start, length }));
        }
        builder.update_audio(|track| {
            track.channels = self.channels.or(track.channels);
            track.sample_rate = self.sample_rate.or(track.sample_rate);
        });
        Ok(())
    }

    fn check(&self, at: &OperationPath) -> Result<(), PlanRejection> {
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

    fn replace(at: &OperationPath, builder: &mut PlanBuilder<'_>) -> Result<(), PlanRejection> {
        let (input, facts) = builder.next_input();
        let found = facts.and_then(MediaFacts::audio);
        if facts.is_some() && found.is_none() {
            return at.refuse("replace", "the file has no audio stream");
        }
        let source = match found {
            Some((stream, _)) => Source { input, stream: stream.index },
            None => Source { input, stream: 0 },
        };
        let mut track = AudioTrack::of(source);
        builder.audio = None;
        // The video keeps its duration: longer audio is cut, shorter audio is padded with silence.
        if let (Some(duration), true) = (builder.duration(), builder.video.is_some()) {
            track.filters.push(AudioFilter::Fill(duration));
            track.end = Some(duration);
        } else if let Some(facts) = facts {
            track.end = found.and_then(|(stream, _)| stream.end());
            builder.container_duration = facts.duration;
        }
        builder.audio = Some(track);
        Ok(())
    }
}
