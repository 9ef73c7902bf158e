//! The matrix and range of frames. Since FFmpeg 7.0 filters agree on them when a graph is built, as on the
//! pixel format, and convert frames that arrive with others.

use ffapi_domain::media::Matrix;
use ffmpeg_the_third::{codec, ffi, filter, format, frame};

/// Matrix and range of video frames; neither for formats without a matrix, and before FFmpeg 7.0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct FrameColors(Option<(ffi::AVColorSpace, ffi::AVColorRange)>);

/// True if graphs have a matrix and a range.
const IN_GRAPHS: bool = cfg!(ffmpeg_7_0);

impl FrameColors {
    /// The options of a graph's source.
    pub(crate) fn source_options(self) -> String {
        let options = |(matrix, range): (ffi::AVColorSpace, ffi::AVColorRange)| {
            format!(":colorspace={}:range={}", matrix.0, range.0)
        };
        self.0.map(options).unwrap_or_default()
    }

    /// The options of a scaler that outputs such frames.
    pub(crate) fn scaler_options(self) -> String {
        let options = |(matrix, range): (ffi::AVColorSpace, ffi::AVColorRange)| {
            format!(":out_color_matrix={}:out_range={}", matrix.0, range.0)
        };
        self.0.map(options).unwrap_or_default()
    }

    /// Those of a frame.
    pub(crate) fn of_frame(frame: &frame::Frame) -> Self {
        // SAFETY: the frame is allocated as long as it is borrowed, and only plain fields are read.
        let raw = unsafe { frame.as_ref() };
        raw.map_or(Self(None), |raw| {
            Self::new(ffi::AVPixelFormat(raw.format), raw.colorspace, raw.color_range)
        })
    }

    /// Those of an open codec's frames, if their matrix is `assumed` where none is declared.
    pub(crate) fn of_codec(codec: &codec::Context, assumed: Option<Matrix>) -> Self {
        // SAFETY: an open codec that we borrow.
        let raw = unsafe { codec.as_ptr() };
        // SAFETY: only plain fields are read.
        let raw = unsafe { &*raw };
        let matrix = match (raw.colorspace, assumed) {
            (ffi::AVColorSpace::UNSPECIFIED, Some(matrix)) => super::frame::color_space(matrix),
            (declared, _) => declared,
        };
        Self::new(raw.pix_fmt, matrix, raw.color_range)
    }

    /// Those of the frames that leave a graph.
    #[cfg(ffmpeg_7_0)]
    pub(crate) fn of_sink(sink: &filter::Context<'_>) -> Self {
        // SAFETY: a configured sink of a live graph; the results are values.
        let sink = unsafe { sink.as_ptr() };
        // SAFETY: only reads it.
        let format = unsafe { ffi::av_buffersink_get_format(sink) };
        // SAFETY: only reads it.
        let matrix = unsafe { ffi::av_buffersink_get_colorspace(sink) };
        // SAFETY: only reads it.
        let range = unsafe { ffi::av_buffersink_get_color_range(sink) };
        Self::new(ffi::AVPixelFormat(format), matrix, range)
    }

    /// Those of the frames that leave a graph.
    #[cfg(not(ffmpeg_7_0))]
    pub(crate) const fn of_sink(_: &filter::Context<'_>) -> Self {
        Self(None)
    }

    fn new(
        format: ffi::AVPixelFormat,
        matrix: ffi::AVColorSpace,
        range: ffi::AVColorRange,
    ) -> Self {
        use format::Pixel;
        let format = Pixel::from(format);
        let traits = super::pixel_traits(format);
        if !IN_GRAPHS || traits.is_none_or(|traits| traits.rgb || traits.components < 3) {
            return Self(None);
        }
        let implies_full_range = matches!(
            format,
            Pixel::YUVJ420P | Pixel::YUVJ422P | Pixel::YUVJ444P | Pixel::YUVJ440P | Pixel::YUVJ411P
        );
        let range = if implies_full_range { ffi::AVColorRange::JPEG } else { range };
        Self(Some((matrix, range)))
    }
}
