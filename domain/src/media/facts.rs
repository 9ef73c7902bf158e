use serde::{Deserialize, Serialize};

use super::Micros;

/// A ratio as FFmpeg writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rational {
    /// Numerator.
    pub num: u32,
    /// Denominator; never 0 in facts.
    pub den: u32,
}

impl Rational {
    /// As a decimal; 0 for an unknown ratio.
    pub fn as_f64(self) -> f64 {
        if self.den == 0 { 0.0 } else { f64::from(self.num) / f64::from(self.den) }
    }
}

/// What opening an input told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MediaFacts {
    /// FFmpeg's demuxer name.
    pub format: String,
    /// As the container says; none when it does not.
    pub duration: Option<Micros>,
    /// The best picture stream.
    pub video: Option<VideoFacts>,
    /// The best sound stream.
    pub audio: Option<AudioFacts>,
}

/// What is known of a picture stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VideoFacts {
    /// FFmpeg's codec name.
    pub codec: String,
    /// Coded pixels, before rotation.
    pub width: u32,
    /// Coded pixels, before rotation.
    pub height: u32,
    /// Shape of a pixel; 1:1 when unknown.
    pub pixel_aspect: Rational,
    /// Average; 0 when unknown.
    pub frame_rate: Rational,
    /// Clockwise degrees that a player turns it by: 0, 90, 180 or 270.
    pub rotation: u16,
    /// Of this stream alone, if the container says.
    #[serde(default)]
    pub duration: Option<Micros>,
}

/// What is known of a sound stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioFacts {
    /// FFmpeg's codec name.
    pub codec: String,
    /// Count.
    pub channels: u32,
    /// Hertz.
    pub sample_rate: u32,
    /// Of this stream alone, if the container says.
    #[serde(default)]
    pub duration: Option<Micros>,
}
