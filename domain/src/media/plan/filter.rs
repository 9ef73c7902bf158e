//! What is done to pictures and samples: typed, never text from a request but where text is meant.

use serde::{Deserialize, Serialize};

use super::Place;
use crate::media::{
    Micros, PlanRejection, Rational,
    facts::Hdr,
    operation::{Axis, Paint, Position},
};

/// A stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// First instant of it.
    pub start: Micros,
    /// First instant after it; none for the rest.
    pub end: Option<Micros>,
}

impl Window {
    /// From two optional times of a request; none if neither is given.
    pub(crate) fn checked(
        at: &Place,
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

/// One picture filter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VideoFilter {
    /// Turns clockwise by 90, 180 or 270 degrees.
    Rotate(u16),
    /// Turns clockwise by any angle, onto black.
    Tilt {
        /// The angle.
        degrees: f64,
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
    },
    /// Keeps a part and starts it at 0.
    Trim(Window),
    /// Resizes, to square pixels.
    Scale {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
    },
    /// Keeps a rectangle.
    Crop {
        /// From the left.
        x: u32,
        /// From the top.
        y: u32,
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
    },
    /// Adds a border.
    Pad {
        /// Of the picture in it.
        x: u32,
        /// Of the picture in it.
        y: u32,
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
        /// Of the border.
        color: Paint,
    },
    /// Mirrors.
    Flip(Axis),
    /// Constant frame rate.
    Rate(Rational),
    /// Plays faster or slower.
    Speed(f64),
    /// Lays an input's picture over it.
    Overlay {
        /// Which input.
        input: usize,
        /// What sets it upright.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        upright: Vec<VideoFilter>,
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
        /// From the left.
        x: i64,
        /// From the top.
        y: i64,
        /// 0 to 1.
        opacity: f64,
        /// When; always if none.
        during: Option<Window>,
    },
    /// Writes on it.
    Text {
        /// What.
        text: String,
        /// Where.
        position: Position,
        /// Pixels.
        size: u32,
        /// Of the letters.
        color: Paint,
        /// Pixels.
        margin: u32,
        /// When; always if none.
        during: Option<Window>,
    },
    /// Draws subtitles.
    Burn {
        /// Which of the plan's cues.
        cues: usize,
    },
    /// The first picture stands from the beginning, at this rate if there is one.
    FromZero(Option<Rational>),
    /// Lasts exactly this long: the last picture stays, or the rest goes.
    Hold(Micros),
    /// Puts others behind it.
    Concat(Vec<Segment>),
    /// Smooths noise away; 0 to 1.
    Denoise(f64),
    /// One picture of two fields.
    Deinterlace,
    /// Takes the shaking out; 0 to 1. Needs a pass of its own before.
    Stabilize(f64),
    /// 0 to 1.
    Sharpen(f64),
    /// 0 to 1.
    Blur(f64),
    /// Light and colour.
    Adjust(Adjust),
    /// Degrees.
    Hue(f64),
    /// To the levels of video, from all that a byte holds or from red, green and blue: other levels are
    /// shown wrongly by many players.
    Levels {
        /// It is red, green and blue, which become BT.709's brightness and colour.
        rgb: bool,
    },
    /// High dynamic range to BT.709.
    Tonemap {
        /// What it is taken for.
        from: Hdr,
        /// Candela a square metre of the brightest that is kept.
        peak: f64,
    },
}

/// Light and colour.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Adjust {
    /// Added; 0 changes nothing.
    pub brightness: f64,
    /// A factor.
    pub contrast: f64,
    /// A factor.
    pub saturation: f64,
    /// An exponent.
    pub gamma: f64,
}

impl Adjust {
    /// Everything as it was.
    pub const NOTHING: Self = Self { brightness: 0.0, contrast: 1.0, saturation: 1.0, gamma: 1.0 };
}

/// A film behind another, fitted to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    /// Which input.
    pub input: usize,
    /// Which of its streams.
    pub stream: u32,
    /// What makes it fit.
    pub filters: Vec<VideoFilter>,
    /// How long it lasts.
    pub duration: Micros,
}

/// A film's sound behind another's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SoundSegment {
    /// Which input.
    pub input: usize,
    /// Which of its streams; silence if none.
    pub stream: Option<u32>,
    /// How long it lasts.
    pub duration: Micros,
}

/// One sound filter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AudioFilter {
    /// Keeps a part and starts it at 0.
    Trim(Window),
    /// Plays faster or slower at the same pitch.
    Speed(f64),
    /// A factor.
    Volume(f64),
    /// To a loudness in LUFS. Needs a pass of its own before.
    Loudness(f64),
    /// From silence, over this long.
    FadeIn(Micros),
    /// To silence.
    FadeOut {
        /// When it begins.
        start: Micros,
        /// How long it takes.
        length: Micros,
    },
    /// Silence from the beginning until it begins.
    FromZero,
    /// Lasts exactly this long: silence follows, or the rest goes.
    Fill(Micros),
    /// Puts others behind it.
    Concat(Vec<SoundSegment>),
}

/// What happened to the times of an input.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeEdit {
    /// A part was kept.
    Trim(Window),
    /// It was made faster or slower.
    Speed(f64),
}

impl TimeEdit {
    /// A stretch of time after the edit; none if nothing of it is left.
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

    /// The last instant before the edit of which anything is left at an instant after it; none for the
    /// end, whenever that is.
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

/// A time after everything was made faster by a factor.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "media times are far below 2^52 microseconds, and factors are positive"
)]
pub(crate) fn stretched(time: Micros, factor: f64) -> Micros {
    (time as f64 / factor).round() as Micros
}
