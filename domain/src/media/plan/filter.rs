//! Filters for video frames and audio samples: typed, so that no text from a request is
//! interpreted, except where text is the content.

use serde::{Deserialize, Serialize};

use super::OperationPath;
use crate::media::{
    Micros, PlanRejection, Rational,
    facts::{Hdr, Matrix},
    operation::{Axis, Paint, Position},
};

/// A time range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Start, inclusive.
    pub start: Micros,
    /// End, exclusive; `None` for the rest.
    pub end: Option<Micros>,
}

impl Window {
    /// Everything.
    pub const WHOLE: Self = Self { start: 0, end: None };

    /// From two optional times of a request; `None` if neither is given.
    pub(crate) fn checked(
        at: &OperationPath,
        start: Option<Micros>,
        end: Option<Micros>,
    ) -> Result<Option<Self>, PlanRejection> {
        let window = Self { start: start.unwrap_or(0), end };
        if end.is_some_and(|end| end <= window.start) {
            return at.refuse("end", "`end` is not after `start`");
        }
        Ok((start.is_some() || end.is_some()).then_some(window))
    }
}

/// One video filter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VideoFilter {
    /// Rotates clockwise by 90, 180 or 270 degrees.
    Rotate(u16),
    /// Rotates clockwise by any angle, onto black.
    Tilt {
        /// Angle in degrees.
        degrees: f64,
        /// Width of the result in pixels.
        width: u32,
        /// Height of the result in pixels.
        height: u32,
    },
    /// Keeps a part and shifts it to start at 0.
    Trim(Window),
    /// Resizes, to square pixels.
    Scale {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// Keeps a rectangle.
    Crop {
        /// Offset from the left in pixels.
        x: u32,
        /// Offset from the top in pixels.
        y: u32,
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// Adds a border.
    Pad {
        /// Horizontal offset of the video in the new frame.
        x: u32,
        /// Vertical offset of the video in the new frame.
        y: u32,
        /// Width of the new frame in pixels.
        width: u32,
        /// Height of the new frame in pixels.
        height: u32,
        /// Colour of the border.
        color: Paint,
    },
    /// Mirrors the video.
    Flip(Axis),
    /// Converts to a constant frame rate.
    Rate(Rational),
    /// Plays faster or slower.
    Speed(f64),
    /// Overlays the image of another input.
    Overlay {
        /// Index of the input.
        input: usize,
        /// Filters that rotate the image upright.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        upright: Vec<VideoFilter>,
        /// Width of the overlay in pixels.
        width: u32,
        /// Height of the overlay in pixels.
        height: u32,
        /// Offset from the left in pixels.
        x: i64,
        /// Offset from the top in pixels.
        y: i64,
        /// Opacity, 0 to 1.
        opacity: f64,
        /// The matrix of the video below it.
        #[serde(default)]
        matrix: Matrix,
        /// When it is displayed; always if `None`.
        during: Option<Window>,
    },
    /// Overlays text.
    Text {
        /// The text.
        text: String,
        /// Position in the frame.
        position: Position,
        /// Height of the letters in pixels.
        size: u32,
        /// Colour of the text.
        color: Paint,
        /// Distance from the edges in pixels.
        margin: u32,
        /// When it is displayed; always if `None`.
        during: Option<Window>,
    },
    /// Burns in subtitles.
    Burn {
        /// Index in the plan's cues.
        cues: usize,
    },
    /// Extends the first frame to the start, at this frame rate if one is given.
    FromZero(Option<Rational>),
    /// Makes the duration exact: the last frame is repeated, or the rest is cut.
    Hold(Micros),
    /// Appends other videos.
    Concat(Vec<Segment>),
    /// Reduces noise; strength 0 to 1.
    Denoise(f64),
    /// Combines two fields into one frame.
    Deinterlace,
    /// Reduces camera shake; strength 0 to 1. Needs a separate analysis pass.
    Stabilize(f64),
    /// Sharpens; strength 0 to 1.
    Sharpen(f64),
    /// Blurs; strength 0 to 1.
    Blur(f64),
    /// Adjusts brightness, contrast, saturation and gamma.
    Adjust(Adjust),
    /// Rotates the hue by this many degrees.
    Hue(f64),
    /// Converts full-range YUV or RGB to limited-range YUV: many players display other ranges
    /// incorrectly.
    Levels {
        /// True if the input is RGB, which becomes BT.709 YUV.
        rgb: bool,
    },
    /// Converts the samples to another matrix between RGB and YUV.
    Matrix(Matrix),
    /// Maps high dynamic range to BT.709.
    Tonemap {
        /// The assumed transfer characteristic.
        from: Hdr,
        /// Peak luminance that is preserved, in cd/m².
        peak: f64,
    },
}

/// Adjustment of brightness and colour.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Adjust {
    /// Offset; 0 changes nothing.
    pub brightness: f64,
    /// Factor; 1 changes nothing.
    pub contrast: f64,
    /// Factor; 1 changes nothing.
    pub saturation: f64,
    /// Exponent; 1 changes nothing.
    pub gamma: f64,
}

impl Adjust {
    /// Changes nothing.
    pub const NOTHING: Self = Self { brightness: 0.0, contrast: 1.0, saturation: 1.0, gamma: 1.0 };
}

/// An appended video, fitted to the first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    /// Index of the input.
    pub input: usize,
    /// Index of the stream in the input.
    pub stream: u32,
    /// Filters that fit it.
    pub filters: Vec<VideoFilter>,
    /// Its duration.
    pub duration: Micros,
}

/// The audio of an appended input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioSegment {
    /// Index of the input.
    pub input: usize,
    /// Index of the stream in the input; silence if `None`.
    pub stream: Option<u32>,
    /// Its duration.
    pub duration: Micros,
}

/// One audio filter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AudioFilter {
    /// Keeps a part and shifts it to start at 0.
    Trim(Window),
    /// Plays faster or slower at the same pitch.
    Speed(f64),
    /// Multiplies the amplitude by this factor.
    Volume(f64),
    /// Normalises to a loudness in LUFS. Needs a separate analysis pass.
    Loudness(f64),
    /// Fades in from silence over this duration.
    FadeIn(Micros),
    /// Fades out to silence.
    FadeOut {
        /// When the fade starts.
        start: Micros,
        /// Duration of the fade.
        length: Micros,
    },
    /// Adds silence from the start until the first sample.
    FromZero,
    /// Makes the duration exact: silence is appended, or the rest is cut.
    Fill(Micros),
    /// Adds this much silence before it.
    Delay(Micros),
    /// Appends other audio.
    Concat(Vec<AudioSegment>),
}

/// A change of an input's timing.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeEdit {
    /// A part was kept.
    Trim(Window),
    /// It was made faster or slower.
    Speed(f64),
}

impl TimeEdit {
    /// A time range after the edit; `None` if nothing of it is left.
    pub fn apply(self, (start, end): (Micros, Micros)) -> Option<(Micros, Micros)> {
        match self {
            Self::Trim(window) => {
                let until = window.end.unwrap_or(Micros::MAX);
                let start = start.max(window.start).min(until);
                let end = end.min(until);
                let moved = |time: Micros| time.saturating_sub(window.start);
                (end > start).then(|| (moved(start), moved(end)))
            }
            Self::Speed(factor) => Some((stretched(start, factor), stretched(end, factor))),
        }
    }

    /// The end of the input that is needed before the edit for a given end after it; `None` for an
    /// unlimited end.
    pub(crate) fn end_before(self, end: Option<Micros>) -> Option<Micros> {
        match self {
            Self::Trim(window) => {
                let end = end.map(|end| end.saturating_add(window.start));
                end.into_iter().chain(window.end).min()
            }
            Self::Speed(factor) => end.map(|end| stretched(end, 1.0 / factor)),
        }
    }
}

/// A duration after speeding up by a factor.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "media times are far below 2^52 microseconds, and factors are positive"
)]
pub(crate) fn stretched(time: Micros, factor: f64) -> Micros {
    (time as f64 / factor).round() as Micros
}
