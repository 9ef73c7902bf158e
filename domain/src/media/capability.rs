use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{AudioCodec, Container, Device, VideoCodec};

/// What a worker proved it can do, by doing it once at start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// The libraries' version.
    pub ffmpeg: String,
    /// Encoded a frame.
    pub video_codecs: BTreeSet<VideoCodec>,
    /// Encoded a frame.
    pub audio_codecs: BTreeSet<AudioCodec>,
    /// Wrote a header.
    pub containers: BTreeSet<Container>,
    /// What was found beside the processor.
    #[serde(default)]
    pub devices: Vec<Device>,
}

impl Capabilities {
    /// Everything this build knows of, for checks before any worker is asked.
    pub fn everything() -> Self {
        Self {
            ffmpeg: String::new(),
            video_codecs: VideoCodec::ALL.iter().copied().collect(),
            audio_codecs: AudioCodec::ALL.iter().copied().collect(),
            containers: Container::ALL.iter().copied().collect(),
            devices: vec![],
        }
    }

    /// Whether a worker encodes it.
    pub fn encodes_video(&self, codec: VideoCodec) -> bool {
        codec.encoder().is_some() && self.video_codecs.contains(&codec)
    }

    /// Whether a worker encodes it.
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
