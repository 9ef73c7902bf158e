use ffmpeg_the_third::{Rational, format, frame};

use crate::{
    channel_layout::layout_name,
    ffi::{self, FrameColors},
};

/// The format of the frames of a stream.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum FrameFormat {
    Video {
        width: u32,
        height: u32,
        format: format::Pixel,
        time_base: Rational,
        aspect: Rational,
        rate: Rational,
        colors: FrameColors,
    },
    Audio {
        rate: u32,
        format: format::Sample,
        layout: String,
        time_base: Rational,
    },
}

impl FrameFormat {
    pub(crate) const fn is_video(&self) -> bool {
        matches!(self, Self::Video { .. })
    }

    /// True if the faster scaler (zscale) supports the frames: 8-bit 4:2:0 with even sides.
    pub(crate) const fn is_planar(&self) -> bool {
        let (width, height) = self.size();
        matches!(self, Self::Video { format: format::Pixel::YUV420P, .. })
            && width.is_multiple_of(2)
            && height.is_multiple_of(2)
    }

    /// Width and height of a video frame; zeros for audio.
    pub(crate) const fn size(&self) -> (u32, u32) {
        match self {
            Self::Video { width, height, .. } => (*width, *height),
            Self::Audio { .. } => (0, 0),
        }
    }

    /// The same with other colors.
    pub(crate) fn with_colors(mut self, of: FrameColors) -> Self {
        if let Self::Video { colors, .. } = &mut self {
            *colors = of;
        }
        self
    }

    /// Bytes of one frame; 0 for audio, whose frames are small.
    pub(crate) fn bytes(&self) -> usize {
        let Self::Video { width, height, format, .. } = self else { return 0 };
        let pixels = usize::try_from(u64::from(*width).saturating_mul(u64::from(*height)));
        pixels.unwrap_or(usize::MAX).saturating_mul(ffi::bits_per_pixel(*format)) / 8
    }

    pub(crate) const fn time_base(&self) -> Rational {
        match self {
            Self::Video { time_base, .. } | Self::Audio { time_base, .. } => *time_base,
        }
    }

    /// The graph source for such frames: the name of FFmpeg's filter and its arguments.
    pub(crate) fn source(&self) -> (&'static str, String) {
        match self {
            Self::Video { width, height, format, time_base, aspect, rate, colors } => {
                let mut arguments = format!(
                    "video_size={width}x{height}:pix_fmt={}:time_base={}/{}:pixel_aspect={}/{}",
                    format.descriptor().map_or("", |descriptor| descriptor.name()),
                    time_base.numerator(),
                    time_base.denominator(),
                    aspect.numerator(),
                    aspect.denominator().max(1),
                );
                if rate.numerator() > 0 && rate.denominator() > 0 {
                    let rate = format!(":frame_rate={}/{}", rate.numerator(), rate.denominator());
                    arguments.push_str(&rate);
                }
                arguments.push_str(&colors.source_options());
                ("buffer", arguments)
            }
            Self::Audio { rate, format, layout, time_base } => (
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

    /// The filters that convert other frames of the same kind to this format.
    pub(crate) fn conform(&self) -> String {
        match self {
            Self::Video { width, height, format, aspect, colors, .. } => format!(
                "scale={width}:{height}:flags=bicubic{},format={},setsar={}/{}",
                colors.scaler_options(),
                format.descriptor().map_or("", |descriptor| descriptor.name()),
                aspect.numerator(),
                aspect.denominator().max(1),
            ),
            Self::Audio { rate, format, layout, .. } => format!(
                "aformat=sample_fmts={}:sample_rates={rate}:channel_layouts={layout}",
                ffi::sample_name(*format)
            ),
        }
    }

    /// The actual format of a frame of the same stream.
    pub(crate) fn of(&self, frame: &frame::Frame) -> Self {
        match self {
            Self::Video { time_base, aspect, rate, .. } => {
                let (width, height, format) = ffi::frame_shape(frame);
                let (time_base, aspect, rate) = (*time_base, *aspect, *rate);
                let colors = FrameColors::of_frame(frame);
                Self::Video { width, height, format, time_base, aspect, rate, colors }
            }
            Self::Audio { time_base, .. } => {
                let Some((rate, format, layout)) = ffi::audio_shape(frame) else {
                    return self.clone();
                };
                Self::Audio { rate, format, layout: layout_name(&layout), time_base: *time_base }
            }
        }
    }
}
