use ffapi_domain::media::{Adjust, Segment, VideoFilter};
use poem_openapi::Object;

use super::parts::{RatioBody, WindowBody};
use crate::media::value::{micros_as_seconds, name_of};

/// A filter of a video stream: it has one of the fields.
#[derive(Debug, Default, Object)]
#[oai(rename = "PlanVideoFilter", skip_serializing_if_is_none)]
pub(crate) struct VideoFilterBody {
    /// Degrees clockwise: 90, 180 or 270.
    rotate: Option<u16>,
    /// A rotation by any angle.
    tilt: Option<TiltBody>,
    /// The part that is kept.
    trim: Option<WindowBody>,
    /// The size that it is scaled to, with square pixels.
    scale: Option<SizeBody>,
    /// The rectangle that is kept.
    crop: Option<RectangleBody>,
    /// The frame around it.
    pad: Option<PadBody>,
    /// `horizontal`, `vertical` or `both`.
    flip: Option<String>,
    /// The constant frame rate, in frames per second.
    rate: Option<RatioBody>,
    /// How much faster it plays.
    speed: Option<f64>,
    /// The image above it.
    overlay: Option<OverlayBody>,
    /// The text above it.
    text: Option<TextBody>,
    /// Index of the subtitles in the plan's `cues` that are burned in.
    burn: Option<usize>,
    /// The first frame is extended to the start.
    from_zero: Option<FromZeroBody>,
    /// The exact duration in seconds: the last frame is repeated, or the rest is cut.
    hold: Option<f64>,
    /// The videos that are appended.
    concat: Option<Vec<SegmentBody>>,
    /// Strength, 0 to 1.
    denoise: Option<f64>,
    /// True: two fields become one frame.
    deinterlace: Option<bool>,
    /// Strength, 0 to 1.
    stabilize: Option<f64>,
    /// Strength, 0 to 1.
    sharpen: Option<f64>,
    /// Strength, 0 to 1.
    blur: Option<f64>,
    /// Brightness and colour.
    adjust: Option<AdjustBody>,
    /// Degrees.
    hue: Option<f64>,
    /// Samples of the full range, or RGB, become YUV of the limited range.
    levels: Option<LevelsBody>,
    /// The matrix between RGB and YUV that samples are converted to: `bt601`, `bt709` or `bt2020`.
    matrix: Option<String>,
    /// High dynamic range becomes BT.709.
    tonemap: Option<TonemapBody>,
}

/// A rotation by any angle, onto black.
#[derive(Debug, Object)]
#[oai(rename = "PlanTilt")]
pub(crate) struct TiltBody {
    /// Degrees clockwise.
    degrees: f64,
    /// Pixels of the result.
    width: u32,
    /// Pixels of the result.
    height: u32,
}

/// A size in pixels.
#[derive(Debug, Object)]
#[oai(rename = "PlanSize")]
pub(crate) struct SizeBody {
    /// Pixels.
    width: u32,
    /// Pixels.
    height: u32,
}

/// A rectangle of the frame.
#[derive(Debug, Object)]
#[oai(rename = "PlanRectangle")]
pub(crate) struct RectangleBody {
    /// Pixels from the left.
    x: u32,
    /// Pixels from the top.
    y: u32,
    /// Pixels.
    width: u32,
    /// Pixels.
    height: u32,
}

/// A frame around the video.
#[derive(Debug, Object)]
#[oai(rename = "PlanPad")]
pub(crate) struct PadBody {
    /// Pixels from its left edge to the video.
    x: u32,
    /// Pixels from its top edge to the video.
    y: u32,
    /// Pixels.
    width: u32,
    /// Pixels.
    height: u32,
    /// `#RRGGBBAA`.
    color: String,
}

/// An image above the video.
#[derive(Debug, Object)]
#[oai(rename = "PlanOverlay", skip_serializing_if_is_none)]
pub(crate) struct OverlayBody {
    /// Index of the input.
    input: usize,
    /// Pixels.
    width: u32,
    /// Pixels.
    height: u32,
    /// Pixels from the left.
    x: i64,
    /// Pixels from the top.
    y: i64,
    /// 0 to 1.
    opacity: f64,
    /// The filters that rotate the image upright.
    upright: Vec<VideoFilterBody>,
    /// The matrix of the video below it: `bt601`, `bt709` or `bt2020`.
    matrix: String,
    /// When it is shown; always if absent.
    during: Option<WindowBody>,
}

/// Text above the video.
#[derive(Debug, Object)]
#[oai(rename = "PlanText", skip_serializing_if_is_none)]
pub(crate) struct TextBody {
    /// The text.
    text: String,
    /// `top_left`, `top`, `top_right`, `left`, `center`, `right`, `bottom_left`, `bottom` or `bottom_right`.
    position: String,
    /// Height of the letters in pixels.
    size: u32,
    /// `#RRGGBBAA`.
    color: String,
    /// Pixels between it and the edges.
    margin: u32,
    /// When it is shown; always if absent.
    during: Option<WindowBody>,
}

/// An extension of the first frame to the start.
#[derive(Debug, Object)]
#[oai(rename = "PlanFromZero", skip_serializing_if_is_none)]
pub(crate) struct FromZeroBody {
    /// Frames per second of the extension; it is one long frame if absent.
    rate: Option<RatioBody>,
}

/// A video that is appended, fitted to the first.
#[derive(Debug, Object)]
#[oai(rename = "PlanSegment")]
pub(crate) struct SegmentBody {
    /// Index of the input.
    input: usize,
    /// Index of the stream in the input.
    stream: u32,
    /// The filters that fit it.
    filters: Vec<VideoFilterBody>,
    /// Seconds.
    duration: f64,
}

/// Brightness and colour.
#[derive(Debug, Object)]
#[oai(rename = "PlanAdjust")]
pub(crate) struct AdjustBody {
    /// Offset; 0 changes nothing.
    brightness: f64,
    /// Factor; 1 changes nothing.
    contrast: f64,
    /// Factor; 1 changes nothing.
    saturation: f64,
    /// Exponent; 1 changes nothing.
    gamma: f64,
}

/// A conversion to YUV of the limited range.
#[derive(Debug, Object)]
#[oai(rename = "PlanLevels")]
pub(crate) struct LevelsBody {
    /// True if the samples are RGB.
    rgb: bool,
}

/// A conversion of high dynamic range to BT.709.
#[derive(Debug, Object)]
#[oai(rename = "PlanTonemap")]
pub(crate) struct TonemapBody {
    /// The transfer characteristic: `pq` or `hlg`.
    from: String,
    /// The peak luminance that is preserved, in cd/m².
    peak: f64,
}

impl From<&VideoFilter> for VideoFilterBody {
    fn from(filter: &VideoFilter) -> Self {
        let mut body = Self::default();
        match filter {
            VideoFilter::Rotate(degrees) => body.rotate = Some(*degrees),
            VideoFilter::Tilt { degrees, width, height } => {
                body.tilt = Some(TiltBody { degrees: *degrees, width: *width, height: *height });
            }
            VideoFilter::Trim(window) => body.trim = Some((*window).into()),
            VideoFilter::Scale { width, height } => {
                body.scale = Some(SizeBody { width: *width, height: *height });
            }
            VideoFilter::Crop { x, y, width, height } => {
                let (x, y, width, height) = (*x, *y, *width, *height);
                body.crop = Some(RectangleBody { x, y, width, height });
            }
            VideoFilter::Pad { x, y, width, height, color } => {
                let (x, y, width, height) = (*x, *y, *width, *height);
                body.pad = Some(PadBody { x, y, width, height, color: name_of(color) });
            }
            VideoFilter::Flip(axis) => body.flip = Some(name_of(axis)),
            VideoFilter::Rate(rate) => body.rate = Some((*rate).into()),
            VideoFilter::Speed(factor) => body.speed = Some(*factor),
            VideoFilter::Overlay {
                input,
                width,
                height,
                x,
                y,
                opacity,
                upright,
                matrix,
                during,
            } => {
                body.overlay = Some(OverlayBody {
                    input: *input,
                    width: *width,
                    height: *height,
                    x: *x,
                    y: *y,
                    opacity: *opacity,
                    upright: upright.iter().map(Self::from).collect(),
                    matrix: name_of(matrix),
                    during: during.map(WindowBody::from),
                });
            }
            VideoFilter::Text { text, position, size, color, margin, during } => {
                body.text = Some(TextBody {
                    text: text.clone(),
                    position: name_of(position),
                    size: *size,
                    color: name_of(color),
                    margin: *margin,
                    during: during.map(WindowBody::from),
                });
            }
            VideoFilter::Burn { cues } => body.burn = Some(*cues),
            VideoFilter::FromZero(rate) => {
                body.from_zero = Some(FromZeroBody { rate: rate.map(RatioBody::from) });
            }
            VideoFilter::Hold(duration) => body.hold = Some(micros_as_seconds(*duration)),
            VideoFilter::Concat(segments) => {
                body.concat = Some(segments.iter().map(SegmentBody::from).collect());
            }
            VideoFilter::Denoise(strength) => body.denoise = Some(*strength),
            VideoFilter::Deinterlace => body.deinterlace = Some(true),
            VideoFilter::Stabilize(strength) => body.stabilize = Some(*strength),
            VideoFilter::Sharpen(strength) => body.sharpen = Some(*strength),
            VideoFilter::Blur(strength) => body.blur = Some(*strength),
            VideoFilter::Adjust(adjust) => body.adjust = Some((*adjust).into()),
            VideoFilter::Hue(degrees) => body.hue = Some(*degrees),
            VideoFilter::Levels { rgb } => body.levels = Some(LevelsBody { rgb: *rgb }),
            VideoFilter::Matrix(matrix) => body.matrix = Some(name_of(matrix)),
            VideoFilter::Tonemap { from, peak } => {
                body.tonemap = Some(TonemapBody { from: name_of(from), peak: *peak });
            }
        }
        body
    }
}

impl From<&Segment> for SegmentBody {
    fn from(segment: &Segment) -> Self {
        Self {
            input: segment.input,
            stream: segment.stream,
            filters: segment.filters.iter().map(VideoFilterBody::from).collect(),
            duration: micros_as_seconds(segment.duration),
        }
    }
}

impl From<Adjust> for AdjustBody {
    fn from(Adjust { brightness, contrast, saturation, gamma }: Adjust) -> Self {
        Self { brightness, contrast, saturation, gamma }
    }
}
