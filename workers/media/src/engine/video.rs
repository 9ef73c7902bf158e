use std::sync::mpsc::{Receiver, SyncSender};

use domain::media::{RateControl, VideoCodec, VideoFacts, VideoPlan};
use ffmpeg_the_third::{
    self as ffmpeg, Dictionary, Rational, codec, encoder, filter, format, frame, picture,
};

use super::{
    graph::{self, Picture},
    mux::Mux,
    pulse::Pulse,
    stage::{Coded, Decode, again, pass_on},
};
use crate::{MediaError, ffi, ffi::Input};

/// The picture's way: decode on one thread, filter and encode on another.
pub(super) struct VideoStage {
    pub(super) decode: Decode<Decoder>,
    pub(super) encode: Encode,
}

/// An opened picture decoder.
pub(super) struct Decoder(codec::decoder::Video);

impl AsMut<codec::decoder::Opened> for Decoder {
    fn as_mut(&mut self) -> &mut codec::decoder::Opened {
        &mut self.0
    }
}

/// Filters and encoder of the picture.
pub(super) struct Encode {
    plan: VideoPlan,
    source: Picture,
    graph: filter::Graph,
    encoder: encoder::Video,
    time_base: Rational,
    stream: usize,
    last: Option<i64>,
}

impl VideoStage {
    pub(super) fn prepare(
        input: &Input,
        index: usize,
        plan: &VideoPlan,
        facts: &VideoFacts,
        mux: &mut Mux,
    ) -> Result<Self, MediaError> {
        let unreadable =
            |error: ffmpeg::Error| MediaError::input(format!("the video cannot be read: {error}"));
        let stream = input.context.stream(index);
        let stream = stream.ok_or_else(|| unreadable(ffmpeg::Error::StreamNotFound))?;
        let parameters = ffi::own_parameters(&stream).map_err(unreadable)?;
        let mut context =
            codec::Context::from_parameters(parameters.clone()).map_err(unreadable)?;
        ffi::prepare_decoder(&mut context, stream.time_base(), 0);
        let decoder = context.decoder().video().map_err(unreadable)?;
        if ffi::declared_format(&parameters) < 0 {
            return Err(MediaError::input(
                "the input's video holds no picture that can be decoded",
            ));
        }
        let aspect = |n: u32| i32::try_from(n).unwrap_or(1);
        let source = Picture {
            width: decoder.width(),
            height: decoder.height(),
            format: decoder.format(),
            time_base: stream.time_base(),
            pixel_aspect: Rational(aspect(facts.pixel_aspect.num), aspect(facts.pixel_aspect.den)),
        };
        let mut graph = graph::picture(plan, &source)?;
        let (time_base, pixel_aspect) = {
            let sink = graph.get("out");
            let sink = sink.ok_or_else(|| MediaError::internal("the filters", "have no end"))?;
            (ffi::sink_time_base(&sink), ffi::sink_pixel_aspect(&sink))
        };
        let rate = frame_rate(plan, facts);
        let encoder = open_encoder(plan, time_base, pixel_aspect, rate, &parameters, mux)?;
        let stream = mux.add(&encoder, time_base, rate)?;
        Ok(Self {
            decode: Decode::new(input, index, "video", Decoder(decoder)),
            encode: Encode {
                plan: plan.clone(),
                source,
                graph,
                encoder,
                time_base,
                stream,
                last: None,
            },
        })
    }
}

fn frame_rate(plan: &VideoPlan, facts: &VideoFacts) -> Option<Rational> {
    let chosen = plan.filters.iter().rev().find_map(|filter| match filter {
        domain::media::VideoFilter::Fps(millifps) => Some((*millifps, 1000)),
        _ => None,
    });
    let (num, den) = chosen.unwrap_or((facts.frame_rate.num, facts.frame_rate.den));
    let rate = Rational(i32::try_from(num).ok()?, i32::try_from(den).ok()?);
    (rate.numerator() > 0).then_some(rate)
}

fn open_encoder(
    plan: &VideoPlan,
    time_base: Rational,
    pixel_aspect: Rational,
    rate: Option<Rational>,
    source: &codec::Parameters,
    mux: &Mux,
) -> Result<encoder::Video, MediaError> {
    let broken = |error: ffmpeg::Error| MediaError::internal("the video encoder", error);
    let codec = plan.codec.encoder().and_then(encoder::find_by_name);
    let codec = codec.ok_or_else(|| broken(ffmpeg::Error::EncoderNotFound))?;
    let mut context = codec::Context::new_with_codec(codec);
    ffi::prepare_encoder(&mut context, Some(source), mux.wants_global_header(), 0);
    let mut video = context.encoder().video().map_err(broken)?;
    video.set_width(plan.width);
    video.set_height(plan.height);
    video.set_format(format::Pixel::YUV420P);
    video.set_time_base(time_base);
    video.set_frame_rate(rate);
    video.set_aspect_ratio(pixel_aspect);
    if let Some(interval) = plan.keyframe_interval {
        video.set_gop(interval);
    }
    let mut options = Dictionary::new();
    options.set("preset", plan.preset.as_str());
    match plan.rate {
        RateControl::Crf(crf) => options.set("crf", crf.to_string()),
        RateControl::Bitrate(bitrate) => {
            video.set_bit_rate(usize::try_from(bitrate).unwrap_or(usize::MAX));
        }
    }
    if plan.codec == VideoCodec::Hevc {
        options.set("x265-params", "log-level=none");
    }
    let opened = video.open_as_with(codec, options.as_mut()).map_err(broken)?;
    // FFmpeg leaves what it did not understand: a setting must never be dropped in silence.
    match options.iter().next() {
        Some((name, _)) => Err(MediaError::internal("the video encoder does not know", name)),
        None => Ok(opened),
    }
}

impl Encode {
    /// Filters and encodes until the frames end, the window closes, or nobody wants more.
    pub(super) fn run(
        mut self,
        frames: &Receiver<frame::Frame>,
        coded: &SyncSender<Coded>,
        pulse: &Pulse<'_>,
    ) -> Result<(), MediaError> {
        for frame in frames {
            pulse.beat();
            let frame = frame::Video::from(frame);
            self.follow_changes(&frame)?;
            let added = match self.graph.get("in") {
                Some(mut source) => source.source().add(&frame),
                None => Err(ffmpeg::Error::Bug),
            };
            match added {
                Ok(()) => {}
                // The window closed.
                Err(ffmpeg::Error::Eof) => break,
                Err(error) => return Err(MediaError::internal("the video filters failed", error)),
            }
            if !self.drain(coded)? {
                return Ok(());
            }
        }
        if let Some(mut source) = self.graph.get("in") {
            let _ = source.source().flush();
        }
        if self.drain(coded)? {
            self.encoder.send_eof().map_err(|e| MediaError::internal("the video encoder", e))?;
            pass_on(&mut self.encoder, self.stream, self.time_base, coded)?;
        }
        Ok(())
    }

    /// Some inputs change their size or format on the way; the output does not.
    fn follow_changes(&mut self, frame: &frame::Video) -> Result<(), MediaError> {
        let now = Picture {
            width: frame.width(),
            height: frame.height(),
            format: frame.format(),
            ..self.source
        };
        if now != self.source {
            self.source = now;
            self.graph = graph::picture(&self.plan, &now)?;
        }
        Ok(())
    }

    fn drain(&mut self, coded: &SyncSender<Coded>) -> Result<bool, MediaError> {
        loop {
            let mut filtered = frame::Video::empty();
            let got = match self.graph.get("out") {
                Some(mut sink) => sink.sink().frame(&mut filtered),
                None => Err(ffmpeg::Error::Bug),
            };
            match got {
                Ok(()) => {}
                Err(ffmpeg::Error::Eof) => return Ok(true),
                Err(error) if again(error) => return Ok(true),
                Err(error) => return Err(MediaError::internal("the video filters failed", error)),
            }
            // Two pictures at one instant would not be a file that plays.
            let pts = filtered.pts();
            if pts.is_none() || (self.last.is_some() && pts <= self.last) {
                continue;
            }
            self.last = pts;
            filtered.set_kind(picture::Type::None);
            self.encoder
                .send_frame(&filtered)
                .map_err(|error| MediaError::internal("the video encoder failed", error))?;
            if !pass_on(&mut self.encoder, self.stream, self.time_base, coded)? {
                return Ok(false);
            }
        }
    }
}
