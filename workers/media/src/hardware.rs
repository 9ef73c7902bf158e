//! Hardware encoders: found by opening their device files, used only after they encoded a frame.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use ffapi_domain::media::{Device, Pool, VideoCodec};

use crate::{encoders, ffi::query_driver};

/// The device files of this machine's render nodes and of NVIDIA's driver.
pub fn nodes() -> Vec<PathBuf> {
    let list = |folder: &str, prefix: &str| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut found: Vec<PathBuf> = entries
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
            .map(|entry| entry.path())
            .collect();
        found.sort();
        found
    };
    [list("/dev/dri", "renderD"), list("/dev", "nvidia")].concat()
}

/// Queries and tries hardware; tests substitute their own.
pub(crate) trait Prober {
    /// The name of a render node's driver, and the codecs that it claims to encode.
    fn query(&self, node: &Path) -> Result<(String, BTreeSet<VideoCodec>), String>;
    /// Encodes one frame.
    fn encode(&self, pool: Pool, device: &str, codec: VideoCodec) -> Result<(), String>;
}

/// Probes the hardware of this machine.
pub(crate) struct Machine;

impl Prober for Machine {
    fn query(&self, node: &Path) -> Result<(String, BTreeSet<VideoCodec>), String> {
        let driver = query_driver(node)?;
        Ok((driver.name, driver.encodes.into_iter().filter_map(codec_of).collect()))
    }

    fn encode(&self, pool: Pool, device: &str, codec: VideoCodec) -> Result<(), String> {
        encoders::hardware_probe::probe_encoder(pool, device, codec).map_err(|error| error.message)
    }
}

/// The codec of a VA-API profile number, for profiles of 8 bits and 4:2:0.
const fn codec_of(profile: i32) -> Option<VideoCodec> {
    match profile {
        6 | 7 | 13 => Some(VideoCodec::H264),
        14 => Some(VideoCodec::Vp8),
        17 => Some(VideoCodec::Hevc),
        19 => Some(VideoCodec::Vp9),
        32 => Some(VideoCodec::Av1),
        _ => None,
    }
}

/// The devices behind these device files, with the codecs that each was able to encode.
pub(crate) fn find(prober: &impl Prober, nodes: &[PathBuf]) -> Vec<Device> {
    let mut found = Vec::new();
    let name = |node: &Path| node.display().to_string();
    let nvidia = |node: &&PathBuf| name(node).starts_with("/dev/nvidia");
    for node in nodes.iter().filter(|node| !nvidia(node)) {
        let (driver, offers) = match prober.query(node) {
            Ok((driver, offers)) => (Some(driver), offers),
            Err(why) => {
                found.push(Device {
                    pool: Pool::Vaapi,
                    name: name(node),
                    driver: None,
                    offers: BTreeSet::new(),
                    encodes: BTreeSet::new(),
                    why_not: Some(why),
                });
                continue;
            }
        };
        let intel = driver.as_ref().is_some_and(|driver| driver.contains("Intel"));
        found.push(probed(prober, Pool::Vaapi, name(node), driver.clone(), offers.clone()));
        if intel {
            found.push(probed(prober, Pool::Qsv, name(node), driver, offers));
        }
    }
    // Cards have numbers; the other files with this prefix belong to the driver.
    let numbered = |node: &&PathBuf| {
        let rest = name(node).strip_prefix("/dev/nvidia").map(str::to_owned);
        rest.is_some_and(|rest| rest.parse::<u16>().is_ok())
    };
    for node in nodes.iter().filter(numbered) {
        let offers = [VideoCodec::H264, VideoCodec::Hevc, VideoCodec::Av1].into();
        found.push(probed(prober, Pool::Nvenc, name(node), None, offers));
    }
    found
}

/// The device after encoding a frame with each codec that its driver offers.
fn probed(
    prober: &impl Prober,
    pool: Pool,
    name: String,
    driver: Option<String>,
    offers: BTreeSet<VideoCodec>,
) -> Device {
    let mut device = Device { pool, name, driver, offers, encodes: BTreeSet::new(), why_not: None };
    for codec in device.offers.iter().copied() {
        match prober.encode(pool, &device.name, codec) {
            Ok(()) => drop(device.encodes.insert(codec)),
            Err(why) => device.why_not = Some(why),
        }
    }
    device
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine with an Intel card that fails at HEVC, a dead node and an NVIDIA card.
    struct FakeProber;

    impl Prober for FakeProber {
        fn query(&self, node: &Path) -> Result<(String, BTreeSet<VideoCodec>), String> {
            match node.to_str() {
                Some("/dev/dri/renderD128") => {
                    Ok(("Intel iHD".to_owned(), [VideoCodec::H264, VideoCodec::Hevc].into()))
                }
                _ => Err("its driver failed to start".to_owned()),
            }
        }

        fn encode(&self, _: Pool, _: &str, codec: VideoCodec) -> Result<(), String> {
            match codec {
                VideoCodec::H264 => Ok(()),
                _ => Err("no frames".to_owned()),
            }
        }
    }

    #[test]
    fn only_codecs_that_encoded_a_frame_are_reported() {
        let nodes =
            ["/dev/dri/renderD128", "/dev/dri/renderD129", "/dev/nvidia0", "/dev/nvidiactl"];
        let found = find(&FakeProber, &nodes.map(PathBuf::from));
        let summary: Vec<_> = found
            .iter()
            .map(|device| (device.pool, device.encodes.len(), device.why_not.is_some()))
            .collect();
        assert_eq!(
            summary,
            [
                (Pool::Vaapi, 1, true),
                (Pool::Qsv, 1, true),
                (Pool::Vaapi, 0, true),
                (Pool::Nvenc, 1, true),
            ],
            "{found:#?}"
        );
        assert!(find(&FakeProber, &[]).is_empty());
    }
}
