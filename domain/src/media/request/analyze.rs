use serde::{Deserialize, Serialize};

use crate::{
    Personal,
    location::Location,
    media::{MediaFacts, PlanRejection, codec::words},
};

/// Finds out how good, loud or lively a file is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Analyze {
    /// Where the bytes come from.
    pub input: Personal<Location>,
    /// What it is compared with.
    #[serde(default)]
    pub reference: Option<Personal<Location>>,
    /// What to find out.
    pub metrics: Vec<Metric>,
    /// Tell the comparisons' figures of every frame too.
    #[serde(default)]
    pub per_frame: bool,
}

words! {
    /// What can be found out.
    Metric {
        /// Netflix's VMAF against a reference.
        Vmaf = "vmaf",
        /// Peak signal-to-noise ratio against a reference.
        Psnr = "psnr",
        /// Structural similarity to a reference.
        Ssim = "ssim",
        /// EBU R128: integrated loudness, range, true peak.
        Loudness = "loudness",
        /// Where one shot ends and another begins.
        Scenes = "scenes",
        /// Where the picture is black.
        Black = "black",
        /// Where nothing is heard.
        Silence = "silence",
        /// How much there is to see and how much of it moves, by ITU-T P.910.
        Complexity = "complexity",
        /// Bits of each second.
        Bitrate = "bitrate",
        /// Where a player can begin.
        Keyframes = "keyframes",
    }
}

impl Metric {
    /// True if it compares with a reference.
    pub const fn needs_reference(self) -> bool {
        matches!(self, Self::Vmaf | Self::Psnr | Self::Ssim)
    }

    /// True if it can be found out while a film is made ready for streaming.
    pub const fn on_the_way(self) -> bool {
        !matches!(self, Self::Psnr | Self::Ssim | Self::Bitrate | Self::Keyframes)
    }

    /// True if it looks at pictures.
    pub const fn of_picture(self) -> bool {
        !matches!(self, Self::Loudness | Self::Silence | Self::Bitrate)
    }

    /// True if it listens to sound.
    pub const fn of_sound(self) -> bool {
        matches!(self, Self::Loudness | Self::Silence)
    }
}

/// Whether a film has what the metrics look at or listen to.
pub(crate) fn check_metrics(metrics: &[Metric], film: &MediaFacts) -> Result<(), PlanRejection> {
    for (place, metric) in metrics.iter().enumerate() {
        let name = metric.as_str();
        let lacks = match (film.video(), film.audio()) {
            (None, _) if metric.of_picture() => "a picture",
            (_, None) if metric.of_sound() => "sound",
            _ => continue,
        };
        let detail = format!("`{name}` needs {lacks}, and the input has none");
        return Err(PlanRejection::at(format!("#/metrics/{place}"), detail));
    }
    Ok(())
}

impl Analyze {
    /// Refuses what the film does not have.
    pub fn fits(&self, film: &MediaFacts) -> Result<(), PlanRejection> {
        check_metrics(&self.metrics, film)
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
