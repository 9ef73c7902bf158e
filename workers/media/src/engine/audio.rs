use std::sync::mpsc::{Receiver, SyncSender};

use domain::media::{AudioCodec, AudioPlan};
use ffmpeg_the_third::{
    self as ffmpeg, ChannelLayout, Dictionary, Rational, codec, encoder, filter, format, frame,
};

use super::{
    graph::{self, Sound},
    mux::Mux,
    pulse::Pulse,
    stage::{Coded, Decode, again, pass_on},
};
use crate::{MediaError, ffi, ffi::Input};

/// The sound's way: decode on one thread, filter and encode on another.
pub(super) struct AudioStage {
    pub(super) decode: Decode<Decoder>,
    pub(super) encode: Encode,
}

/// An opened sound decoder.
pub(super) struct Decoder(codec::decoder::Audio);

impl AsMut<codec::decoder::Opened> for Decoder {
    fn as_mut(&mut self) -> &mut codec::decoder::Opened {
        &mut self.0
    }
}

/// Filters and encoder of the sound.
pub(super) struct Encode {
    plan: AudioPlan,
    source: Sound,
    graph: filter::Graph,
    encoder: encoder::Audio,
    format: format::Sample,
    time_base: Rational,
    stream: usize,
}

impl AudioStage {
    pub(super) fn prepare(
        input: &Input,
        index: usize,
        plan: &AudioPlan,
        mux: &mut Mux,
    ) -> Result<Self, MediaError> {
        let unreadable =
            |error: ffmpeg::Error| MediaError::input(format!("the sound cannot be read: {error}"));
        let stream = input.context.stream(index);
        let stream = stream.ok_or_else(|| unreadable(ffmpeg::Error::StreamNotFound))?;
        let parameters = ffi::own_parameters(&stream).map_err(unreadable)?;
        let mut context =
            codec::Context::from_parameters(parameters.clone()).map_err(unreadable)?;
        ffi::prepare_decoder(&mut context, stream.time_base(), 1);
        let decoder = context.decoder().audio().map_err(unreadable)?;
        if ffi::declared_format(&parameters) < 0 {
            return Err(MediaError::input("the input's sound cannot be decoded"));
        }
        let source = Sound {
            rate: decoder.rate(),
            format: decoder.format(),
            layout: graph::layout_name(&decoder.ch_layout()),
            time_base: stream.time_base(),
        };
        let (encoder, format) = open_encoder(plan, mux)?;
        let graph = build(plan, &source, format, &encoder)?;
        let time_base = Rational(1, i32::try_from(plan.sample_rate).unwrap_or(48_000));
        let stream = mux.add(&encoder, time_base, None)?;
        Ok(Self {
            decode: Decode::new(input, index, "sound", Decoder(decoder)),
            encode: Encode {
                plan: plan.clone(),
                source,
                graph,
                encoder,
                format,
                time_base,
                stream,
            },
        })
    }
}

/// The graph, giving frames of the size that the encoder takes.
fn build(
    plan: &AudioPlan,
    source: &Sound,
    format: format::Sample,
    encoder: &encoder::Audio,
) -> Result<filter::Graph, MediaError> {
    let mut graph = graph::sound(plan, source, format)?;
    let size = encoder.frame_size();
    if let Some(mut sink) = graph.get("out").filter(|_| size > 0) {
        sink.sink().set_frame_size(size);
    }
    Ok(graph)
}

fn open_encoder(
    plan: &AudioPlan,
    mux: &Mux,
) -> Result<(encoder::Audio, format::Sample), MediaError> {
    let broken = |error: ffmpeg::Error| MediaError::internal("the sound encoder", error);
    let codec = plan.codec.encoder().and_then(encoder::find_by_name);
    let codec = codec.ok_or_else(|| broken(ffmpeg::Error::EncoderNotFound))?;
    let format = match plan.codec {
        AudioCodec::Aac => format::Sample::F32(format::sample::Type::Planar),
        AudioCodec::Opus => format::Sample::F32(format::sample::Type::Packed),
        AudioCodec::Flac | AudioCodec::None => format::Sample::I16(format::sample::Type::Packed),
    };
    let mut context = codec::Context::new_with_codec(codec);
    ffi::prepare_encoder(&mut context, None, mux.wants_global_header(), 1);
    let mut audio = context.encoder().audio().map_err(broken)?;
    let rate = i32::try_from(plan.sample_rate).unwrap_or(48_000);
    audio.set_rate(rate);
    audio.set_format(format);
    audio.set_ch_layout(if plan.channels == 1 {
        ChannelLayout::MONO
    } else {
        ChannelLayout::STEREO
    });
    audio.set_time_base(Rational(1, rate));
    if let Some(bitrate) = plan.bitrate {
        audio.set_bit_rate(usize::try_from(bitrate).unwrap_or(usize::MAX));
    }
    Ok((audio.open_as_with(codec, Dictionary::new()).map_err(broken)?, format))
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
            let frame = frame::Audio::from(frame);
            self.follow_changes(&frame)?;
            let added = match self.graph.get("in") {
                Some(mut source) => source.source().add(&frame),
                None => Err(ffmpeg::Error::Bug),
            };
            match added {
                Ok(()) => {}
                // The window closed.
                Err(ffmpeg::Error::Eof) => break,
                Err(error) => return Err(MediaError::internal("the sound filters failed", error)),
            }
            if !self.drain(coded)? {
                return Ok(());
            }
        }
        if let Some(mut source) = self.graph.get("in") {
            let _ = source.source().flush();
        }
        if self.drain(coded)? {
            self.encoder.send_eof().map_err(|e| MediaError::internal("the sound encoder", e))?;
            pass_on(&mut self.encoder, self.stream, self.time_base, coded)?;
        }
        Ok(())
    }

    /// Some inputs change their rate or layout on the way; the output does not.
    fn follow_changes(&mut self, frame: &frame::Audio) -> Result<(), MediaError> {
        let now = Sound {
            rate: frame.rate(),
            format: frame.format(),
            layout: graph::layout_name(&frame.ch_layout()),
            time_base: self.source.time_base,
        };
        if now != self.source {
            self.graph = build(&self.plan, &now, self.format, &self.encoder)?;
            self.source = now;
        }
        Ok(())
    }

    fn drain(&mut self, coded: &SyncSender<Coded>) -> Result<bool, MediaError> {
        loop {
            let mut filtered = frame::Audio::empty();
            let got = match self.graph.get("out") {
                Some(mut sink) => sink.sink().frame(&mut filtered),
                None => Err(ffmpeg::Error::Bug),
            };
            match got {
                Ok(()) => {}
                Err(ffmpeg::Error::Eof) => return Ok(true),
                Err(error) if again(error) => return Ok(true),
                Err(error) => return Err(MediaError::internal("the sound filters failed", error)),
            }
            self.encoder
                .send_frame(&filtered)
                .map_err(|error| MediaError::internal("the sound encoder failed", error))?;
            if !pass_on(&mut self.encoder, self.stream, self.time_base, coded)? {
                return Ok(false);
            }
        }
    }
}
