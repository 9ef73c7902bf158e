use serde::{Deserialize, Serialize};

use crate::{
    Personal,
    location::Location,
    media::{MediaFacts, PlanRejection, codec::string_enum},
};

/// Measures quality, loudness or content of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Analyze {
    /// Location of its input.
    pub input: Personal<Location>,
    /// The file that it is compared with.
    #[serde(default)]
    pub reference: Option<Personal<Location>>,
    /// What to measure.
    pub metrics: Vec<Metric>,
    /// True to return the comparison scores of every frame too.
    #[serde(default)]
    pub per_frame: bool,
}

string_enum! {
    /// What can be measured.
    Metric {
        /// VMAF against a reference.
        Vmaf = "vmaf",
        /// Peak signal-to-noise ratio against a reference.
        Psnr = "psnr",
        /// Structural similarity to a reference.
        Ssim = "ssim",
        /// Integrated loudness, loudness range and true peak by EBU R128.
        Loudness = "loudness",
        /// Scene changes.
        Scenes = "scenes",
        /// Black sections of the video.
        Black = "black",
        /// Silent sections of the audio.
        Silence = "silence",
        /// Spatial and temporal complexity by ITU-T P.910.
        Complexity = "complexity",
        /// Bits of each second.
        Bitrate = "bitrate",
        /// Positions of keyframes.
        Keyframes = "keyframes",
    }
}

impl Metric {
    /// True if it compares with a reference.
    pub const fn needs_reference(self) -> bool {
        matches!(self, Self::Vmaf | Self::Psnr | Self::Ssim)
    }

    /// True if it can be measured during a streaming job.
    pub const fn available_in_stream(self) -> bool {
        !matches!(self, Self::Psnr | Self::Ssim | Self::Bitrate | Self::Keyframes)
    }

    /// True if it needs video.
    pub const fn needs_video(self) -> bool {
        !matches!(self, Self::Loudness | Self::Silence | Self::Bitrate)
    }

    /// True if it needs audio.
    pub const fn needs_audio(self) -> bool {
        matches!(self, Self::Loudness | Self::Silence)
    }
}

/// Checks that a file has the streams that the metrics need.
pub(crate) fn check_metrics(metrics: &[Metric], facts: &MediaFacts) -> Result<(), PlanRejection> {
    for (index, metric) in metrics.iter().enumerate() {
        let name = metric.as_str();
        let missing = match (facts.video(), facts.audio()) {
            (None, _) if metric.needs_video() => "video",
            (_, None) if metric.needs_audio() => "audio",
            _ => continue,
        };
        let detail = format!("`{name}` needs {missing}, and the input has none");
        return Err(PlanRejection::at(format!("#/metrics/{index}"), detail));
    }
    Ok(())
}

impl Analyze {
    /// Rejects metrics whose streams the file does not have.
    pub fn fits(&self, facts: &MediaFacts) -> Result<(), PlanRejection> {
        check_metrics(&self.metrics, facts)
    }

    pub(super) fn check(&self) -> Result<(), PlanRejection> {
        let refuse = |pointer: &str, detail: String| Err(PlanRejection::at(pointer, detail));
        if self.metrics.is_empty() {
            let all: Vec<&str> = Metric::ALL.iter().map(|metric| metric.as_str()).collect();
            return refuse("#/metrics", format!("name one or more of {}", all.join(", ")));
        }
        let compares = self.metrics.iter().position(|metric| metric.needs_reference());
        match (compares, &self.reference) {
            (Some(at), None) => {
                let name = self.metrics.get(at).map_or("", |metric| metric.as_str());
                let detail = format!("`{name}` compares with a `reference`; name one");
                refuse(&format!("#/metrics/{at}"), detail)
            }
            (None, Some(_)) => {
                let detail =
                    "nothing is compared with it; add `vmaf`, `psnr` or `ssim` to `metrics`";
                refuse("#/reference", detail.to_owned())
            }
            _ => Ok(()),
        }
    }
}
