use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{AudioCodec, Container, Device, VideoCodec};

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
        self.devices.extend(other.devices.iter().cloned());
        self.devices.sort();
        self.devices.dedup();
        self
    }
}
