use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ffapi_domain::{
    job::FailureCode,
    media::{Source, StreamDetail, StreamFacts},
};
use ffmpeg_the_third::{self as ffmpeg, Rational, Rescale, codec, decoder, frame};

use super::{
    MICROS,
    frame_channel::FrameSender,
    frame_format::{FrameFormat, layout_name},
    frame_types::SourceEncoder,
    is_eagain, packet_channel,
};
use crate::{MediaError, decoders::is_allowed_decoder, ffi, ffi::Input, heartbeat::Heartbeat};

/// One stream's decoder.
pub(super) struct Decode {
    pub(super) source: Source,
    pub(super) shape: FrameFormat,
    pub(super) decoder: decoder::Opened,
    time_base: Rational,
    /// The container's first instant, which counts as 0, in `time_base`.
    origin: i64,
    /// Where the stream ends according to the input, in microseconds; the end of an input whose
    /// streams do not state theirs is checked by the demuxer.
    expected_end: Option<i64>,
    /// "audio" or "video", for messages.
    kind: &'static str,
    /// What is known of the encoder that chose its frame types.
    source_encoder: SourceEncoder,
    /// Start and duration of the newest frame, in microseconds.
    last: Option<(i64, i64)>,
}

/// How far timestamps may go back, in microseconds: muxers round them.
const MAX_BACKWARD_JUMP: i64 = 1_000_000;

fn seconds(micros: i64) -> String {
    format!("{:.1}", Duration::from_micros(micros.unsigned_abs()).as_secs_f64())
}

/// Rejects files that concatenate recordings: the second would be lost, or out of sync. `before` and
/// `at` are the times of two consecutive frames or packets, in microseconds.
pub(super) fn check_order(kind: &str, before: Option<i64>, at: i64) -> Result<(), MediaError> {
    match before.filter(|last| last.saturating_sub(at) > MAX_BACKWARD_JUMP) {
        None => Ok(()),
        Some(last) => Err(MediaError::input(format!(
            "the timestamps of the input's {kind} go back from {} s to {} s: it consists of several \
             recordings; send each separately, and join them by `concat`",
            seconds(last),
            seconds(at)
        ))),
    }
}

/// Rejects inputs whose packets or frames end long before the stated end; `what` ends there. Both
/// times are in microseconds.
pub(super) fn check_complete(what: &str, end: i64, expected: i64) -> Result<(), MediaError> {
    let tolerance = (expected / 50).clamp(MIN_END_TOLERANCE, MAX_END_TOLERANCE);
    if expected.saturating_sub(end) <= tolerance {
        return Ok(());
    }
    Err(MediaError::input(format!(
        "the input is cut off or damaged: {what} ends after {} s of {} s; send the complete file",
        seconds(end),
        seconds(expected)
    )))
}

/// What may be missing at the end of an intact stream, in microseconds: 2 % of it within these bounds.
const MIN_END_TOLERANCE: i64 = 250_000;
const MAX_END_TOLERANCE: i64 = 1_000_000;

impl Decode {
    /// Opens the decoder of a stream.
    pub(super) fn open(
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
        if let Some(decoder) =
            decoder::find(parameters.id()).filter(|d| !is_allowed_decoder(d.name()))
        {
            let detail = format!(
                "the codec of the input's {kind}, `{}`, is not supported; convert it to a common \
                 codec first",
                decoder.name()
            );
            return Err(MediaError::new(FailureCode::Unsupported, detail));
        }
        if ffi::raw_format(&parameters) < 0 {
            let detail = format!("the input's {kind} contains nothing that can be decoded");
            return Err(MediaError::input(detail));
        }
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
                    time_base,
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
                };
                (opened.0, shape)
            }
            StreamDetail::Subtitle { .. } | StreamDetail::Other => {
                return Err(unreadable(ffmpeg::Error::DecoderNotFound));
            }
        };
        let stated = input.stated_duration(&stream);
        Ok(Self {
            source,
            shape,
            decoder,
            time_base,
            origin: input.start_time().unwrap_or(0).rescale(MICROS, time_base),
            expected_end: stated.map(|duration| duration.rescale(time_base, MICROS)),
            kind,
            source_encoder: SourceEncoder::default(),
            last: None,
        })
    }

    pub(super) const fn is_audio(&self) -> bool {
        matches!(self.shape, FrameFormat::Audio { .. })
    }

    /// Sets a frame's timestamp relative to the container's first instant; a frame without one
    /// follows the frame before it. Returns its start and end, in microseconds.
    pub(super) fn assign_time(&mut self, frame: &mut frame::Frame) -> (i64, i64) {
        let stated = frame.timestamp().map(|pts| pts.saturating_sub(self.origin));
        let next = self.last.map_or(0, |(at, duration)| at.saturating_add(duration));
        let guess = || match &self.shape {
            FrameFormat::Video { rate, .. } if rate.numerator() > 0 => {
                i64::from(rate.denominator()).saturating_mul(1_000_000)
                    / i64::from(rate.numerator())
            }
            FrameFormat::Video { .. } => 40_000,
            FrameFormat::Audio { rate, .. } => {
                let samples = i64::try_from(ffi::samples(frame)).unwrap_or(0);
                samples.saturating_mul(1_000_000) / i64::from((*rate).max(1))
            }
        };
        let at = stated.map_or(next, |pts| pts.rescale(self.time_base, MICROS));
        // A frame that states no duration lasts about as long as the one before it.
        let duration = match self.last {
            _ if self.is_audio() => guess(),
            _ if let Some(duration) = ffi::lasts(frame, self.time_base) => {
                duration.rescale(self.time_base, MICROS)
            }
            Some((last, _)) if at > last && matches!(self.shape, FrameFormat::Video { .. }) => {
                at.saturating_sub(last)
            }
            _ => guess(),
        };
        self.last = Some((at, duration));
        frame.set_pts(Some(stated.unwrap_or_else(|| next.rescale(MICROS, self.time_base))));
        (at, at.saturating_add(duration))
    }

    fn check_end(&self, end: Option<i64>) -> Result<(), MediaError> {
        let Some(end) = end else {
            return Err(MediaError::input(format!("the input's {} cannot be decoded", self.kind)));
        };
        let Some(expected) = self.expected_end else { return Ok(()) };
        check_complete(&format!("its {}", self.kind), end, expected)
    }

    fn failed(&self, error: ffmpeg::Error) -> MediaError {
        MediaError::input(format!("the input's {} cannot be decoded: {error}", self.kind))
    }
}

/// A decoder and the packets that it reads.
pub(super) struct Decoding {
    decode: Decode,
    packets: packet_channel::Receiver,
    /// End of what was decoded so far, in microseconds.
    end: Option<i64>,
    drained: bool,
    /// Counts the duration of the decoded audio samples, in microseconds.
    audio_counter: Option<Arc<AtomicU64>>,
}

impl Decoding {
    /// A decoder that adds the duration of its samples to `audio_counter`, if there is one.
    pub(super) const fn new(
        decode: Decode,
        packets: packet_channel::Receiver,
        audio_counter: Option<Arc<AtomicU64>>,
    ) -> Self {
        Self { decode, packets, end: None, drained: false, audio_counter }
    }

    /// Decodes until the input ends or all receivers are closed.
    pub(super) fn run(
        mut self,
        mut senders: Vec<FrameSender>,
        heartbeat: &Heartbeat<'_>,
    ) -> Result<(), MediaError> {
        while !senders.is_empty() {
            let Some(frame) = self.next(heartbeat)? else { break };
            let last = senders.pop();
            senders.retain(|sender| sender.send_shared(&frame));
            senders.extend(last.filter(|sender| sender.send(frame)));
        }
        Ok(())
    }

    /// The next frame; `None` at the end. Fails if the stream ends before its stated duration.
    pub(super) fn next(
        &mut self,
        heartbeat: &Heartbeat<'_>,
    ) -> Result<Option<frame::Frame>, MediaError> {
        while !self.drained {
            let mut frame = ffi::empty_frame();
            match self.decode.decoder.receive_frame(&mut frame) {
                Ok(()) => {
                    let before = self.decode.last;
                    self.decode.source_encoder.inspect(&mut frame);
                    let (at, until) = self.decode.assign_time(&mut frame);
                    check_order(self.decode.kind, before.map(|(last, _)| last), at)?;
                    if let Some(counter) = &self.audio_counter {
                        let duration =
                            ffi::lasts(&frame, MICROS).and_then(|time| time.try_into().ok());
                        counter.fetch_add(duration.unwrap_or(0), Ordering::Relaxed);
                    }
                    self.end = Some(self.end.map_or(until, |end| end.max(until)));
                    return Ok(Some(frame));
                }
                Err(ffmpeg::Error::Eof) => self.drained = true,
                Err(error) if is_eagain(error) => self.feed(heartbeat)?,
                Err(ffmpeg::Error::InvalidData) => {}
                Err(error) => return Err(self.decode.failed(error)),
            }
        }
        self.decode.check_end(self.end)?;
        self.packets.error().map_or(Ok(None), Err)
    }

    /// Sends the decoder its next packet, or the end of the stream.
    fn feed(&mut self, heartbeat: &Heartbeat<'_>) -> Result<(), MediaError> {
        heartbeat.beat();
        let Some(packet) = self.packets.next() else {
            self.drained = self.decode.decoder.send_eof().is_err();
            return Ok(());
        };
        match self.decode.decoder.send_packet(&packet) {
            // A damaged packet is skipped; the check of the stream's end detects what is missing.
            Ok(()) | Err(ffmpeg::Error::InvalidData) => Ok(()),
            Err(error) if is_eagain(error) => Ok(()),
            Err(error) => Err(self.decode.failed(error)),
        }
    }
}

fn codec_name(input: &Input, stream: usize) -> Option<&'static str> {
    Some(input.context.stream(stream)?.parameters().id().name())
}
