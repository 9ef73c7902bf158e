use ffapi_domain::media::VideoPlan;
use ffmpeg_the_third::{self as ffmpeg, ChannelLayout, Rational, format, frame};

use crate::{MediaError, ffi};

/// What the frames of a stream are like.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum FrameFormat {
    Picture {
        width: u32,
        height: u32,
        format: format::Pixel,
        time_base: Rational,
        aspect: Rational,
        rate: Rational,
    },
    Sound {
        rate: u32,
        format: format::Sample,
        layout: String,
        time_base: Rational,
    },
}

/// A layout's name; the usual one for the count of channels if the input names none.
pub(super) fn layout_name(layout: &ChannelLayout<'_>) -> String {
    if layout.order() == ffmpeg::ChannelOrder::Unspecified {
        ChannelLayout::default_for_channels(layout.channels()).description()
    } else {
        layout.description()
    }
}

impl FrameFormat {
    pub(super) const fn is_picture(&self) -> bool {
        matches!(self, Self::Picture { .. })
    }

    /// Of the pictures that a plan's encoder is given, by what its filters answer.
    pub(super) fn of_plan(
        plan: &VideoPlan,
        time_base: Rational,
        aspect: Rational,
        rate: Rational,
    ) -> Result<Self, MediaError> {
        let format = plan.pixel_format.parse();
        let format =
            format.map_err(|_| MediaError::internal("unknown pixel format", &plan.pixel_format))?;
        Ok(Self::Picture {
            width: plan.width,
            height: plan.height,
            format,
            time_base,
            aspect,
            rate,
        })
    }

    /// True of the pictures that the faster scaler takes.
    pub(super) const fn is_planar(&self) -> bool {
        let (width, height) = self.size();
        matches!(self, Self::Picture { format: format::Pixel::YUV420P, .. })
            && width.is_multiple_of(2)
            && height.is_multiple_of(2)
    }

    /// A picture's sides.
    pub(super) const fn size(&self) -> (u32, u32) {
        match self {
            Self::Picture { width, height, .. } => (*width, *height),
            Self::Sound { .. } => (0, 0),
        }
    }

    /// Bytes of one frame; 0 for sound, of which a frame is never much.
    pub(super) fn bytes(&self) -> usize {
        let Self::Picture { width, height, format, .. } = self else { return 0 };
        let pixels = usize::try_from(u64::from(*width).saturating_mul(u64::from(*height)));
        pixels.unwrap_or(usize::MAX).saturating_mul(ffi::bits_per_pixel(*format)) / 8
    }

    pub(super) const fn time_base(&self) -> Rational {
        match self {
            Self::Picture { time_base, .. } | Self::Sound { time_base, .. } => *time_base,
        }
    }

    /// A graph source of such frames: FFmpeg's name and its arguments.
    pub(super) fn source(&self) -> (&'static str, String) {
        match self {
            Self::Picture { width, height, format, time_base, aspect, rate } => {
                let mut arguments = format!(
                    "video_size={width}x{height}:pix_fmt={}:time_base={}/{}:pixel_aspect={}/{}",
                    format.descriptor().map_or("", |descriptor| descriptor.name()),
                    time_base.numerator(),
                    time_base.denominator(),
                    aspect.numerator(),
                    aspect.denominator().max(1),
                );
                if rate.numerator() > 0 && rate.denominator() > 0 {
                    let told = format!(":frame_rate={}/{}", rate.numerator(), rate.denominator());
                    arguments.push_str(&told);
                }
                ("buffer", arguments)
            }
            Self::Sound { rate, format, layout, time_base } => (
                "abuffer",
                format!(
                    "time_base={}/{}:sample_rate={rate}:sample_fmt={}:channel_layout={layout}",
                    time_base.numerator(),
                    time_base.denominator(),
                    ffi::sample_name(*format),
                ),
            ),
        }
    }

    /// The filters that turn other frames of the kind into such frames.
    pub(super) fn conform(&self) -> String {
        match self {
            Self::Picture { width, height, format, aspect, .. } => format!(
                "scale={width}:{height}:flags=bicubic,format={},setsar={}/{}",
                format.descriptor().map_or("", |descriptor| descriptor.name()),
                aspect.numerator(),
                aspect.denominator().max(1),
            ),
            Self::Sound { rate, format, layout, .. } => format!(
                "aformat=sample_fmts={}:sample_rates={rate}:channel_layouts={layout}",
                ffi::sample_name(*format)
            ),
        }
    }

    /// What a frame of the same stream is really like.
    pub(super) fn of(&self, frame: &frame::Frame) -> Self {
        match self {
            Self::Picture { time_base, aspect, rate, .. } => {
                let (width, height, format) = ffi::picture_shape(frame);
                let (time_base, aspect, rate) = (*time_base, *aspect, *rate);
                Self::Picture { width, height, format, time_base, aspect, rate }
            }
            Self::Sound { time_base, .. } => {
                let Some((rate, format, layout)) = ffi::sound_shape(frame) else {
                    return self.clone();
                };
                Self::Sound { rate, format, layout: layout_name(&layout), time_base: *time_base }
            }
        }
    }
}
