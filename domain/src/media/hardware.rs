//! What a job may run on beside the processor, and who decides.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{PlanRejection, VideoCodec, VideoPlan, codec::words};

words! {
    /// What a task runs on; workers take tasks by it.
    Pool {
        /// The processor.
        Cpu = "cpu",
        /// VA-API: Intel, AMD.
        Vaapi = "vaapi",
        /// NVIDIA.
        Nvenc = "nvenc",
        /// Intel's own.
        Qsv = "qsv",
    }
}

words! {
    /// What happens if the preferred hardware is not there, or cannot do it.
    Fallback {
        /// The processor does it, and the job says so.
        Cpu = "cpu",
        /// The job is refused, or waits for a worker that has it.
        Fail = "fail",
    }
}

impl Fallback {
    /// When nothing is said.
    pub const fn usual() -> Self {
        Self::Cpu
    }
}

impl Pool {
    /// FFmpeg's name of the encoder; none if there is none.
    pub const fn encoder(self, codec: VideoCodec) -> Option<&'static str> {
        match (self, codec) {
            (Self::Cpu, codec) => codec.encoder(),
            (Self::Vaapi, VideoCodec::H264) => Some("h264_vaapi"),
            (Self::Vaapi, VideoCodec::Hevc) => Some("hevc_vaapi"),
            (Self::Vaapi, VideoCodec::Vp8) => Some("vp8_vaapi"),
            (Self::Vaapi, VideoCodec::Vp9) => Some("vp9_vaapi"),
            (Self::Vaapi, VideoCodec::Av1) => Some("av1_vaapi"),
            (Self::Nvenc, VideoCodec::H264) => Some("h264_nvenc"),
            (Self::Nvenc, VideoCodec::Hevc) => Some("hevc_nvenc"),
            (Self::Nvenc, VideoCodec::Av1) => Some("av1_nvenc"),
            (Self::Qsv, VideoCodec::H264) => Some("h264_qsv"),
            (Self::Qsv, VideoCodec::Hevc) => Some("hevc_qsv"),
            (Self::Qsv, VideoCodec::Vp9) => Some("vp9_qsv"),
            (Self::Qsv, VideoCodec::Av1) => Some("av1_qsv"),
            (Self::Vaapi | Self::Nvenc | Self::Qsv, _) => None,
        }
    }
}

/// What a job would like to run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Hardware {
    /// What is tried first.
    pub prefer: Pool,
    /// What happens without it.
    #[serde(default = "Fallback::usual")]
    pub fallback: Fallback,
}

impl Default for Hardware {
    fn default() -> Self {
        Self { prefer: Pool::Cpu, fallback: Fallback::Cpu }
    }
}

impl Hardware {
    /// Where a job runs, when these pools have workers: where it likes, else on the processor if
    /// that is its fallback; else it waits where it likes.
    pub fn pool(self, present: &BTreeSet<Pool>) -> Pool {
        if present.contains(&self.prefer) || self.fallback == Fallback::Fail {
            self.prefer
        } else {
            Pool::Cpu
        }
    }

    /// The processor does it, which is said; or, if that was the wish, nobody does.
    pub fn without(self, why: &str, notes: &mut Vec<String>) -> Result<(), PlanRejection> {
        if self.fallback == Fallback::Fail {
            return Err(PlanRejection::at("#/hardware/prefer", why));
        }
        let name = self.prefer.as_str();
        notes.push(format!("{name} was preferred, but {why}: the processor encodes it"));
        Ok(())
    }

    /// Refuses a wish that no worker meets, as far as these devices tell.
    pub fn check(self, devices: &[Device]) -> Result<(), PlanRejection> {
        let there = pools(devices);
        if there.contains(&self.prefer) || self.fallback == Fallback::Cpu {
            return Ok(());
        }
        let have: Vec<&str> = there.into_iter().map(Pool::as_str).collect();
        let detail = format!(
            "no worker has `{}`; there is {}; or let `fallback` be `cpu`",
            self.prefer.as_str(),
            have.join(", ")
        );
        Err(PlanRejection::at("#/hardware/prefer", detail))
    }
}

/// Hardware that was found by opening it, with what it proved by encoding a picture.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Device {
    /// How it is spoken to.
    pub pool: Pool,
    /// Its path or number.
    pub name: String,
    /// What its driver calls itself.
    #[serde(default)]
    pub driver: Option<String>,
    /// What its driver says it could encode; FFmpeg or the driver may still fail at it.
    #[serde(default)]
    pub offers: BTreeSet<VideoCodec>,
    /// What it encoded a picture with.
    pub encodes: BTreeSet<VideoCodec>,
    /// Why it encodes less than it offers.
    #[serde(default)]
    pub why_not: Option<String>,
}

/// What these devices encode on, and the processor.
pub fn pools(devices: &[Device]) -> BTreeSet<Pool> {
    let able = devices.iter().filter(|device| !device.encodes.is_empty());
    std::iter::once(Pool::Cpu).chain(able.map(|device| device.pool)).collect()
}

/// Where a picture is encoded, beside the processor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// How it is spoken to.
    pub pool: Pool,
    /// Its path or number.
    pub device: String,
}

/// Places a picture on the device that a job prefers, or says why not: a refusal if that was the
/// job's wish, else a note.
pub fn place(
    video: &mut VideoPlan,
    wish: Option<Hardware>,
    pool: Pool,
    devices: &[Device],
    notes: &mut Vec<String>,
) -> Result<(), PlanRejection> {
    let Some(wish) = wish.filter(|wish| wish.prefer != Pool::Cpu) else { return Ok(()) };
    match fit(video, wish.prefer, pool, devices) {
        Ok(device) => {
            let name = wish.prefer.as_str();
            notes.push(format!("the picture is encoded by {name} on {}", device.name));
            video.placed = Some(Placed { pool: wish.prefer, device: device.name.clone() });
            Ok(())
        }
        Err(why) => wish.without(&why, notes),
    }
}

/// The device that takes such a picture, or why none does.
fn fit<'a>(
    video: &VideoPlan,
    wanted: Pool,
    pool: Pool,
    devices: &'a [Device],
) -> Result<&'a Device, String> {
    let codec = video.codec;
    if wanted != pool {
        return Err("no worker with it was there".to_owned());
    }
    if video.quality.two_pass {
        return Err("it has no two passes".to_owned());
    }
    if video.quality.target_vmaf.is_some() {
        return Err("a quality is searched for with the processor's encoders".to_owned());
    }
    if video.pixel_format != "yuv420p" {
        return Err(format!("it takes yuv420p, not {}", video.pixel_format));
    }
    if video.profile.is_some() {
        return Err("it chooses the profile itself".to_owned());
    }
    let mut own = devices.iter().filter(|device| device.pool == wanted);
    own.find(|device| device.encodes.contains(&codec)).ok_or_else(|| {
        let name = codec.as_str();
        let why = devices.iter().find_map(|device| device.why_not.clone());
        match why.filter(|_| devices.iter().any(|device| device.offers.contains(&codec))) {
            Some(why) => format!("its {name} does not work here ({why})"),
            None => format!("it does not encode {name} here"),
        }
    })
}
