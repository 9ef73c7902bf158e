use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{AudioCodec, Container, Device, VideoCodec};

/// The FFmpeg that a worker's media child is linked with.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Engine {
    /// FFmpeg's release, such as `9.0.2`.
    pub version: String,
    /// When it was built (UTC), as `YYYY-MM-DD`; for the libraries of a system, the date of their
    /// files. None if that is unknown.
    pub built: Option<String>,
    /// The options of FFmpeg's configure script.
    pub configuration: String,
}

impl Engine {
    /// The page that lists the known vulnerabilities of each release.
    pub const ADVISORIES: &str = "https://ffmpeg.org/security.html";
}

/// What a worker can do, as verified by encoding test frames at start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// FFmpeg version.
    pub ffmpeg: String,
    /// Video codecs that it encodes.
    pub video_codecs: BTreeSet<VideoCodec>,
    /// Audio codecs that it encodes.
    pub audio_codecs: BTreeSet<AudioCodec>,
    /// Containers that it writes.
    pub containers: BTreeSet<Container>,
    /// The FFmpeg of each worker.
    #[serde(default)]
    pub engines: Vec<Engine>,
    /// Hardware devices found, in addition to the CPU.
    #[serde(default)]
    pub devices: Vec<Device>,
}

impl Capabilities {
    /// Everything that this build supports, for checks before any worker is known.
    pub fn everything() -> Self {
        Self {
            ffmpeg: String::new(),
            video_codecs: VideoCodec::ALL.iter().copied().collect(),
            audio_codecs: AudioCodec::ALL.iter().copied().collect(),
            containers: Container::ALL.iter().copied().collect(),
            engines: vec![],
            devices: vec![],
        }
    }

    /// True if a worker encodes this codec.
    pub fn encodes_video(&self, codec: VideoCodec) -> bool {
        codec.encoder().is_some() && self.video_codecs.contains(&codec)
    }

    /// True if a worker encodes this codec.
    pub fn encodes_audio(&self, codec: AudioCodec) -> bool {
        codec.encoder().is_some() && self.audio_codecs.contains(&codec)
    }

    /// What at least one of two workers can do.
    #[must_use]
    pub fn union(mut self, other: &Self) -> Self {
        if self.ffmpeg.is_empty() {
            self.ffmpeg.clone_from(&other.ffmpeg);
        }
        self.video_codecs.extend(&other.video_codecs);
        self.audio_codecs.extend(&other.audio_codecs);
        self.containers.extend(&other.containers);
        self.engines.extend(other.engines.iter().cloned());
        self.engines.sort();
        self.engines.dedup();
        self.devices.extend(other.devices.iter().cloned());
        self.devices.sort();
        self.devices.dedup();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(version: &str) -> Capabilities {
        let engine = Engine { version: version.to_owned(), ..Engine::default() };
        Capabilities { engines: vec![engine], ..Capabilities::default() }
    }

    #[test]
    fn an_engine_of_many_workers_is_listed_once() {
        let all = worker("9.0.2").union(&worker("5.1.9")).union(&worker("9.0.2"));
        let versions: Vec<_> = all.engines.iter().map(|engine| engine.version.as_str()).collect();
        assert_eq!(versions, ["5.1.9", "9.0.2"]);
    }
}
