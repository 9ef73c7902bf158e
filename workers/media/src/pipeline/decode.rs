use ffapi_domain::media::{Matrix, Source, StreamDetail, StreamFacts, Window};
use ffmpeg_the_third::{self as ffmpeg, Rational, Rescale, codec, decoder, frame};

use super::{
    audio_clock::{AudioClock, Timed},
    frame_format::FrameFormat,
    source_encoder::SourceEncoder,
    standing::Standing,
};
use crate::{
    MediaError,
    channel_layout::layout_name,
    ffi::{self, FrameColors, Input},
    units::MICROS,
};

/// One stream's decoder.
pub(crate) struct Decode {
    pub(crate) source: Source,
    pub(crate) shape: FrameFormat,
    pub(crate) decoder: decoder::Opened,
    time_base: Rational,
    /// The container's first instant, which counts as 0, in `time_base`.
    origin: i64,
    /// "audio" or "video", for messages.
    pub(crate) kind: &'static str,
    /// What is known of the encoder that chose its frame types.
    pub(crate) source_encoder: SourceEncoder,
    /// Start and duration of the newest frame, in microseconds.
    last: Option<(i64, i64)>,
    pub(crate) audio_clock: AudioClock<frame::Frame>,
    /// The matrix of frames that declare none.
    matrix: Matrix,
    /// The frame that is displayed at the start of the needed part.
    pub(crate) standing: Standing,
}

impl Decode {
    /// Opens the decoder of a stream.
    pub(crate) fn open(
        input: &Input,
        source: Source,
        facts: &StreamFacts,
        threads: u16,
    ) -> Result<Self, MediaError> {
        let kind = match facts.detail {
            StreamDetail::Audio(_) => "audio",
            _ => "video",
        };
        let unreadable = |error: ffmpeg::Error| {
            MediaError::input(format!("the input's {kind} cannot be read: {error}"))
        };
        let index = usize::try_from(source.stream).unwrap_or(usize::MAX);
        let stream = input.context.stream(index);
        let stream = stream.ok_or_else(|| unreadable(ffmpeg::Error::StreamNotFound))?;
        let time_base = stream.time_base();
        let parameters = ffi::copy_parameters(&stream).map_err(unreadable)?;
        let mut context = codec::Context::from_parameters(parameters).map_err(unreadable)?;
        let threads = if kind == "audio" { 1 } else { threads };
        ffi::prepare_decoder(&mut context, time_base, threads).map_err(unreadable)?;
        let (decoder, shape) = match &facts.detail {
            StreamDetail::Audio(_) => {
                let opened = context.decoder().audio().map_err(unreadable)?;
                let shape = FrameFormat::Audio {
                    rate: opened.rate(),
                    format: opened.format(),
                    layout: layout_name(&opened.ch_layout()),
                    // Timestamps are counted by samples.
                    time_base: Rational(1, i32::try_from(opened.rate()).unwrap_or(48_000).max(1)),
                };
                (opened.0, shape)
            }
            StreamDetail::Video(facts) => {
                let decoder = context.decoder();
                // FFmpeg's own decoders of these codecs ignore the alpha channel.
                let alpha_decoder = match codec_name(input, index) {
                    Some("vp9") if facts.alpha => decoder::find_by_name("libvpx-vp9"),
                    Some("vp8") if facts.alpha => decoder::find_by_name("libvpx"),
                    _ => None,
                };
                let alpha = alpha_decoder.is_some();
                let opened = match alpha_decoder {
                    Some(codec) => decoder.open_as(codec).and_then(decoder::Opened::video),
                    None => decoder.video(),
                }
                .map_err(unreadable)?;
                let part = |n: u32| i32::try_from(n).unwrap_or(1);
                let shape = FrameFormat::Video {
                    width: opened.width(),
                    height: opened.height(),
                    format: if alpha { ffmpeg::format::Pixel::YUVA420P } else { opened.format() },
                    time_base,
                    aspect: Rational(part(facts.pixel_aspect.num), part(facts.pixel_aspect.den)),
                    rate: Rational(part(facts.frame_rate.num), part(facts.frame_rate.den)),
                    colors: FrameColors::of_codec(&opened.0, Some(facts.matrix())),
                };
                (opened.0, shape)
            }
            StreamDetail::Subtitle { .. } | StreamDetail::Other => {
                return Err(unreadable(ffmpeg::Error::DecoderNotFound));
            }
        };
        Ok(Self {
            source,
            shape,
            decoder,
            time_base,
            origin: input.origin().rescale(MICROS, time_base),
            kind,
            source_encoder: SourceEncoder::default(),
            last: None,
            audio_clock: AudioClock::default(),
            matrix: match &facts.detail {
                StreamDetail::Video(video) => video.matrix(),
                StreamDetail::Audio(_) | StreamDetail::Subtitle { .. } | StreamDetail::Other => {
                    Matrix::default()
                }
            },
            standing: Standing::default(),
        })
    }

    pub(crate) const fn is_audio(&self) -> bool {
        matches!(self.shape, FrameFormat::Audio { .. })
    }

    /// Makes the frame that is displayed at the start of the needed part start there, if the next
    /// one comes much later.
    pub(crate) fn start_at(&mut self, part: Window) {
        if !self.is_audio() {
            self.standing = Standing::at(part);
        }
    }

    /// Sets the timestamp of a frame of video relative to the input's first instant; a frame without
    /// one follows the frame before it. Returns its start in microseconds.
    pub(crate) fn assign_time(&mut self, frame: &mut frame::Frame) -> i64 {
        let stated = frame.timestamp().map(|pts| pts.saturating_sub(self.origin));
        let rate = match &self.shape {
            FrameFormat::Video { rate, .. } => *rate,
            FrameFormat::Audio { .. } => Rational(0, 1),
        };
        ffi::assume_matrix(frame, self.matrix);
        let (at, duration) = self.video_time(frame, stated, rate);
        self.last = Some((at, duration));
        at
    }

    /// Takes a frame of audio, to be returned by `placed_audio`.
    pub(crate) fn hold_audio(&mut self, frame: frame::Frame) {
        let stated = frame.timestamp().map(|pts| pts.saturating_sub(self.origin));
        let rate = ffi::audio_shape(&frame).map_or(0, |(rate, ..)| rate).max(1);
        self.audio_clock.push(Timed {
            stated: stated.map(|pts| pts.rescale(self.time_base, MICROS)),
            samples: u64::try_from(ffi::samples(&frame)).unwrap_or(0),
            rate,
            frame,
        });
    }

    /// The next frame of audio, with its timestamp relative to the input's first instant; none if
    /// the frames that follow decide.
    pub(crate) fn placed_audio(&mut self) -> Option<frame::Frame> {
        let (at, mut timed) = self.audio_clock.pop()?;
        timed.frame.set_pts(Some(at.rescale(MICROS, self.shape.time_base())));
        Some(timed.frame)
    }

    fn video_time(
        &self,
        frame: &mut frame::Frame,
        stated: Option<i64>,
        rate: Rational,
    ) -> (i64, i64) {
        let next = self.last.map_or(0, |(at, duration)| at.saturating_add(duration));
        let at = stated.map_or(next, |pts| pts.rescale(self.time_base, MICROS));
        // A frame that states no duration lasts about as long as the one before it.
        let duration = match self.last {
            _ if let Some(duration) = ffi::lasts(frame, self.time_base) => {
                duration.rescale(self.time_base, MICROS)
            }
            Some((last, _)) if at > last => at.saturating_sub(last),
            _ if rate.numerator() > 0 => {
                let frame = i64::from(rate.denominator()).saturating_mul(1_000_000);
                frame / i64::from(rate.numerator())
            }
            _ => 40_000,
        };
        frame.set_pts(Some(stated.unwrap_or_else(|| next.rescale(MICROS, self.time_base))));
        (at, duration)
    }
}

fn codec_name(input: &Input, stream: usize) -> Option<&'static str> {
    Some(input.context.stream(stream)?.parameters().id().name())
}
