//! Hardware encoders: a job's preference, the devices of the workers, and the choice between them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{PlanRejection, VideoCodec, VideoPlan, codec::string_enum};

string_enum! {
    /// A hardware platform; workers take tasks by it.
    Pool {
        /// The CPU.
        Cpu = "cpu",
        /// VA-API: Intel and AMD GPUs.
        Vaapi = "vaapi",
        /// NVENC: NVIDIA GPUs.
        Nvenc = "nvenc",
        /// Intel Quick Sync Video.
        Qsv = "qsv",
    }
}

string_enum! {
    /// What happens if the preferred hardware is absent or cannot do the job.
    Fallback {
        /// The CPU does it, and the job has a note about that.
        Cpu = "cpu",
        /// The job is rejected, or waits for a worker that has the hardware.
        Fail = "fail",
    }
}

impl Fallback {
    /// The default.
    pub const fn usual() -> Self {
        Self::Cpu
    }
}

impl Pool {
    /// FFmpeg's encoder for a codec on this hardware; `None` if available is none.
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

/// A job's hardware preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Hardware {
    /// The preferred hardware.
    pub prefer: Pool,
    /// What happens if it is not available.
    #[serde(default = "Fallback::usual")]
    pub fallback: Fallback,
}

impl Default for Hardware {
    fn default() -> Self {
        Self { prefer: Pool::Cpu, fallback: Fallback::Cpu }
    }
}

impl Hardware {
    /// The pool that a job runs in, given the pools with workers: the preferred one, else the CPU
    /// if that is the fallback; otherwise the job waits for the preferred one.
    pub fn pool(self, present: &BTreeSet<Pool>) -> Pool {
        if present.contains(&self.prefer) || self.fallback == Fallback::Fail {
            self.prefer
        } else {
            Pool::Cpu
        }
    }

    /// Falls back to the CPU with a note; an error if the fallback is `fail`.
    pub fn without(self, why: &str, notes: &mut Vec<String>) -> Result<(), PlanRejection> {
        if self.fallback == Fallback::Fail {
            return Err(PlanRejection::at("#/hardware/prefer", why));
        }
        let name = self.prefer.as_str();
        notes.push(format!("{name} was preferred, but {why}: the CPU encodes it"));
        Ok(())
    }

    /// Rejects a preference that none of these devices fulfils.
    pub fn check(self, devices: &[Device]) -> Result<(), PlanRejection> {
        let available = pools(devices);
        if available.contains(&self.prefer) || self.fallback == Fallback::Cpu {
            return Ok(());
        }
        let names: Vec<&str> = available.into_iter().map(Pool::as_str).collect();
        let detail = format!(
            "no worker has `{}`; available are {}; or set `fallback` to `cpu`",
            self.prefer.as_str(),
            names.join(", ")
        );
        Err(PlanRejection::at("#/hardware/prefer", detail))
    }
}

/// A hardware device that a worker has opened and tested by encoding a frame.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Device {
    /// The API that it is accessed with.
    pub pool: Pool,
    /// Its path or number.
    pub name: String,
    /// Name of its driver.
    #[serde(default)]
    pub driver: Option<String>,
    /// Codecs that its driver claims to encode; FFmpeg or the driver may still fail.
    #[serde(default)]
    pub offers: BTreeSet<VideoCodec>,
    /// Codecs that it has encoded a frame with.
    pub encodes: BTreeSet<VideoCodec>,
    /// Why it encodes fewer codecs than it offers.
    #[serde(default)]
    pub why_not: Option<String>,
}

/// The pools of these devices, and the CPU.
pub fn pools(devices: &[Device]) -> BTreeSet<Pool> {
    let able = devices.iter().filter(|device| !device.encodes.is_empty());
    std::iter::once(Pool::Cpu).chain(able.map(|device| device.pool)).collect()
}

/// The device that encodes a video, instead of the CPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssignedDevice {
    /// The API that it is accessed with.
    pub pool: Pool,
    /// Its path or number.
    pub device: String,
}

/// Assigns a video to a device of the preferred pool; if that is not possible, adds a note or, if
/// the fallback is `fail`, returns an error.
pub fn assign_pool(
    video: &mut VideoPlan,
    preference: Option<Hardware>,
    pool: Pool,
    devices: &[Device],
    notes: &mut Vec<String>,
) -> Result<(), PlanRejection> {
    let Some(preference) = preference.filter(|preference| preference.prefer != Pool::Cpu) else {
        return Ok(());
    };
    match fit(video, preference.prefer, pool, devices) {
        Ok(device) => {
            let name = preference.prefer.as_str();
            notes.push(format!("the video is encoded by {name} on {}", device.name));
            video.assigned =
                Some(AssignedDevice { pool: preference.prefer, device: device.name.clone() });
            Ok(())
        }
        Err(why) => preference.without(&why, notes),
    }
}

/// The device that can encode the video, or why available is none.
fn fit<'a>(
    video: &VideoPlan,
    wanted: Pool,
    pool: Pool,
    devices: &'a [Device],
) -> Result<&'a Device, String> {
    let codec = video.codec;
    if wanted != pool {
        return Err("no worker with it was available".to_owned());
    }
    if video.quality.two_pass {
        return Err("it does not support two passes".to_owned());
    }
    if video.quality.target_vmaf.is_some() {
        return Err("`target_vmaf` needs the CPU's encoders".to_owned());
    }
    if video.pixel_format != "yuv420p" {
        return Err(format!("it takes yuv420p, not {}", video.pixel_format));
    }
    if video.profile.is_some() {
        return Err("it does not support `profile`".to_owned());
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
