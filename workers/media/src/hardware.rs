//! Hardware beside the processor: found by opening it, believed once it encoded a picture.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use ffapi_domain::media::{Device, Pool, VideoCodec};

use crate::{engine, ffi::ask_driver};

/// The render nodes and NVIDIA's devices of this machine.
pub fn nodes() -> Vec<PathBuf> {
    let listed = |folder: &str, prefix: &str| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut found: Vec<PathBuf> = entries
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
            .map(|entry| entry.path())
            .collect();
        found.sort();
        found
    };
    [listed("/dev/dri", "renderD"), listed("/dev", "nvidia")].concat()
}

/// How hardware is asked; a test asks another way.
pub(crate) trait Prober {
    /// What the driver of a render node calls itself, and what it says it encodes.
    fn offer(&self, node: &Path) -> Result<(String, BTreeSet<VideoCodec>), String>;
    /// Encodes a picture.
    fn encode(&self, pool: Pool, device: &str, codec: VideoCodec) -> Result<(), String>;
}

/// Asks the machine itself.
pub(crate) struct Machine;

impl Prober for Machine {
    fn offer(&self, node: &Path) -> Result<(String, BTreeSet<VideoCodec>), String> {
        let driver = ask_driver(node)?;
        Ok((driver.name, driver.encodes.into_iter().filter_map(codec_of).collect()))
    }

    fn encode(&self, pool: Pool, device: &str, codec: VideoCodec) -> Result<(), String> {
        engine::probe_encoder(pool, device, codec).map_err(|error| error.message)
    }
}

/// VA-API's numbers of the profiles that a picture of 8 bits and quartered colour can have.
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

/// What there is among these device files, and what each proved.
pub(crate) fn find(prober: &impl Prober, nodes: &[PathBuf]) -> Vec<Device> {
    let mut found = Vec::new();
    let name = |node: &Path| node.display().to_string();
    let nvidia = |node: &&PathBuf| name(node).starts_with("/dev/nvidia");
    for node in nodes.iter().filter(|node| !nvidia(node)) {
        let (driver, offers) = match prober.offer(node) {
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
        found.push(proved(prober, Pool::Vaapi, name(node), driver.clone(), offers.clone()));
        if intel {
            found.push(proved(prober, Pool::Qsv, name(node), driver, offers));
        }
    }
    // Cards are numbered; the other files there are their driver's.
    let numbered = |node: &&PathBuf| {
        let rest = name(node).strip_prefix("/dev/nvidia").map(str::to_owned);
        rest.is_some_and(|rest| rest.parse::<u16>().is_ok())
    };
    for node in nodes.iter().filter(numbered) {
        let offers = [VideoCodec::H264, VideoCodec::Hevc, VideoCodec::Av1].into();
        found.push(proved(prober, Pool::Nvenc, name(node), None, offers));
    }
    found
}

fn proved(
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

    /// A machine with an Intel card whose HEVC is broken, a dead node and a card of NVIDIA's.
    struct Invented;

    impl Prober for Invented {
        fn offer(&self, node: &Path) -> Result<(String, BTreeSet<VideoCodec>), String> {
            match node.to_str() {
                Some("/dev/dri/renderD128") => {
                    Ok(("Intel iHD".to_owned(), [VideoCodec::H264, VideoCodec::Hevc].into()))
                }
                _ => Err("its driver does not start".to_owned()),
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
    fn only_what_encoded_a_picture_is_believed() {
        let nodes =
            ["/dev/dri/renderD128", "/dev/dri/renderD129", "/dev/nvidia0", "/dev/nvidiactl"];
        let found = find(&Invented, &nodes.map(PathBuf::from));
        let brief: Vec<_> = found
            .iter()
            .map(|device| (device.pool, device.encodes.len(), device.why_not.is_some()))
            .collect();
        assert_eq!(
            brief,
            [
                (Pool::Vaapi, 1, true),
                (Pool::Qsv, 1, true),
                (Pool::Vaapi, 0, true),
                (Pool::Nvenc, 1, true),
            ],
            "{found:#?}"
        );
        assert!(find(&Invented, &[]).is_empty());
    }
}
