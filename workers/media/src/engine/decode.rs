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
    MICROS, again,
    frame_channel::FrameSender,
    frame_format::{FrameFormat, layout_name},
    frame_types::Author,
    weighed,
};
use crate::{MediaError, decoders::is_offered, ffi, ffi::Input, heartbeat::Heartbeat};

/// One stream's decoder.
pub(super) struct Decode {
    pub(super) source: Source,
    pub(super) shape: FrameFormat,
    pub(super) decoder: decoder::Opened,
    time_base: Rational,
    /// The container's first instant, which counts as 0, in `time_base`.
    origin: i64,
    /// Where the stream should end, as the input says; in microseconds.
    expected_end: Option<i64>,
    kind: &'static str,
    /// Who decided what kinds its pictures have.
    author: Author,
    /// When the newest frame begins, in microseconds, and how long it lasts.
    last: Option<(i64, i64)>,
}

/// How far a time may go back: what a muxer rounds.
const GOES_BACK: i64 = 1_000_000;

fn seconds(micros: i64) -> String {
    format!("{:.1}", Duration::from_micros(micros.unsigned_abs()).as_secs_f64())
}

/// What may be missing at the end of a stream that is whole.
const SLACK: i64 = 250_000;

impl Decode {
    /// Opens the decoder of a stream.
    pub(super) fn open(
        input: &Input,
        source: Source,
        facts: &StreamFacts,
        threads: u16,
    ) -> Result<Self, MediaError> {
        let kind = match facts.detail {
            StreamDetail::Audio(_) => "sound",
            _ => "video",
        };
        let unreadable = |error: ffmpeg::Error| {
            MediaError::input(format!("the input's {kind} cannot be read: {error}"))
        };
        let index = usize::try_from(source.stream).unwrap_or(usize::MAX);
        let stream = input.context.stream(index);
        let stream = stream.ok_or_else(|| unreadable(ffmpeg::Error::StreamNotFound))?;
        let time_base = stream.time_base();
        let parameters = ffi::own_parameters(&stream).map_err(unreadable)?;
        if let Some(decoder) = decoder::find(parameters.id()).filter(|d| !is_offered(d.name())) {
            let detail = format!(
                "the input's {kind} is coded in `{}`, which is not decoded here; convert it to a \
                 common codec first",
                decoder.name()
            );
            return Err(MediaError::new(FailureCode::Unsupported, detail));
        }
        if ffi::declared_format(&parameters) < 0 {
            let detail = format!("the input's {kind} holds nothing that can be decoded");
            return Err(MediaError::input(detail));
        }
        let mut context = codec::Context::from_parameters(parameters).map_err(unreadable)?;
        let threads = if kind == "sound" { 1 } else { threads };
        ffi::prepare_decoder(&mut context, time_base, threads).map_err(unreadable)?;
        let (decoder, shape) = match &facts.detail {
            StreamDetail::Audio(_) => {
                let opened = context.decoder().audio().map_err(unreadable)?;
                let shape = FrameFormat::Sound {
                    rate: opened.rate(),
                    format: opened.format(),
                    layout: layout_name(&opened.ch_layout()),
                    time_base,
                };
                (opened.0, shape)
            }
            StreamDetail::Video(facts) => {
                let decoder = context.decoder();
                // FFmpeg's own decoders of these do not see what makes them see-through.
                let special = match parameters_name(input, index) {
                    Some("vp9") if facts.alpha => decoder::find_by_name("libvpx-vp9"),
                    Some("vp8") if facts.alpha => decoder::find_by_name("libvpx"),
                    _ => None,
                };
                let alpha = special.is_some();
                let opened = match special {
                    Some(codec) => decoder.open_as(codec).and_then(decoder::Opened::video),
                    None => decoder.video(),
                }
                .map_err(unreadable)?;
                let part = |n: u32| i32::try_from(n).unwrap_or(1);
                let shape = FrameFormat::Picture {
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
        let told = input.duration();
        let own = Some(stream.duration()).filter(|duration| *duration > 0 && told.is_some());
        // Without its own length, only the sole stream must be as long as the container.
        let sole = input.context.streams().count() == 1;
        let whole = told.filter(|_| sole);
        Ok(Self {
            source,
            shape,
            decoder,
            time_base,
            origin: input.start_time().unwrap_or(0).rescale(MICROS, time_base),
            expected_end: own.map(|duration| duration.rescale(time_base, MICROS)).or(whole),
            kind,
            author: Author::default(),
            last: None,
        })
    }

    pub(super) const fn is_sound(&self) -> bool {
        matches!(self.shape, FrameFormat::Sound { .. })
    }

    /// Counts a frame's time from the container's first instant; one without a time follows the
    /// one before it. Answers when it begins and ends, in microseconds.
    pub(super) fn place_in_time(&mut self, frame: &mut frame::Frame) -> (i64, i64) {
        let told = frame.timestamp().map(|pts| pts.saturating_sub(self.origin));
        let next = self.last.map_or(0, |(at, lasts)| at.saturating_add(lasts));
        let guess = || match &self.shape {
            FrameFormat::Picture { rate, .. } if rate.numerator() > 0 => {
                i64::from(rate.denominator()).saturating_mul(1_000_000)
                    / i64::from(rate.numerator())
            }
            FrameFormat::Picture { .. } => 40_000,
            FrameFormat::Sound { rate, .. } => {
                let samples = i64::try_from(ffi::samples(frame)).unwrap_or(0);
                samples.saturating_mul(1_000_000) / i64::from((*rate).max(1))
            }
        };
        let at = told.map_or(next, |pts| pts.rescale(self.time_base, MICROS));
        // A frame that does not say it lasts about as long as the one before it did.
        let lasts = match self.last {
            _ if self.is_sound() => guess(),
            _ if let Some(told) = ffi::lasts(frame, self.time_base) => {
                told.rescale(self.time_base, MICROS)
            }
            Some((last, _)) if at > last && matches!(self.shape, FrameFormat::Picture { .. }) => {
                at.saturating_sub(last)
            }
            _ => guess(),
        };
        self.last = Some((at, lasts));
        frame.set_pts(Some(told.unwrap_or_else(|| next.rescale(MICROS, self.time_base))));
        (at, at.saturating_add(lasts))
    }

    /// Two recordings in one file: what comes second would be lost, or all of it out of step.
    fn check_order(&self, before: Option<(i64, i64)>, at: i64) -> Result<(), MediaError> {
        match before.filter(|(last, _)| last.saturating_sub(at) > GOES_BACK) {
            None => Ok(()),
            Some((last, _)) => Err(MediaError::input(format!(
                "the times of the input's {} go back from {} s to {} s: it is made of several \
                 recordings; send each by itself, and join them by `concat`",
                self.kind,
                seconds(last),
                seconds(at)
            ))),
        }
    }

    fn check_end(&self, end: Option<i64>) -> Result<(), MediaError> {
        let Some(end) = end else {
            return Err(MediaError::input(format!("the input's {} cannot be decoded", self.kind)));
        };
        let Some(expected) = self.expected_end else { return Ok(()) };
        if expected.saturating_sub(end) <= SLACK.max(expected / 50) {
            return Ok(());
        }
        Err(MediaError::input(format!(
            "the input is cut off or damaged: its {} ends after {} s of {} s; send it again whole",
            self.kind,
            seconds(end),
            seconds(expected)
        )))
    }

    fn failed(&self, error: ffmpeg::Error) -> MediaError {
        MediaError::input(format!("the input's {} cannot be decoded: {error}", self.kind))
    }
}

/// A decoder and the packets that it is still to be given.
pub(super) struct Decoding {
    decode: Decode,
    packets: weighed::Receiver,
    /// Where what was decoded so far ends, in microseconds.
    end: Option<i64>,
    drained: bool,
    /// Told for how long the samples last that were made, in microseconds.
    sound: Option<Arc<AtomicU64>>,
}

impl Decoding {
    /// One that counts the samples that it makes, if it is of sound and somebody wants to know.
    pub(super) const fn new(
        decode: Decode,
        packets: weighed::Receiver,
        sound: Option<Arc<AtomicU64>>,
    ) -> Self {
        Self { decode, packets, end: None, drained: false, sound }
    }

    /// Decodes until the input ends or nobody wants more frames.
    pub(super) fn run(
        mut self,
        mut wanted: Vec<FrameSender>,
        heartbeat: &Heartbeat<'_>,
    ) -> Result<(), MediaError> {
        while !wanted.is_empty() {
            let Some(frame) = self.next(heartbeat)? else { break };
            let last = wanted.pop();
            wanted.retain(|sender| sender.show(&frame));
            wanted.extend(last.filter(|sender| sender.give(frame)));
        }
        Ok(())
    }

    /// The next frame; none at the end, if that is where it should be.
    pub(super) fn next(
        &mut self,
        heartbeat: &Heartbeat<'_>,
    ) -> Result<Option<frame::Frame>, MediaError> {
        while !self.drained {
            let mut frame = ffi::empty_frame();
            match self.decode.decoder.receive_frame(&mut frame) {
                Ok(()) => {
                    let before = self.decode.last;
                    self.decode.author.look(&mut frame);
                    let (at, until) = self.decode.place_in_time(&mut frame);
                    self.decode.check_order(before, at)?;
                    if let Some(sound) = &self.sound {
                        let lasts =
                            ffi::lasts(&frame, MICROS).and_then(|lasts| lasts.try_into().ok());
                        sound.fetch_add(lasts.unwrap_or(0), Ordering::Relaxed);
                    }
                    self.end = Some(self.end.map_or(until, |end| end.max(until)));
                    return Ok(Some(frame));
                }
                Err(ffmpeg::Error::Eof) => self.drained = true,
                Err(error) if again(error) => self.feed(heartbeat)?,
                Err(ffmpeg::Error::InvalidData) => {}
                Err(error) => return Err(self.decode.failed(error)),
            }
        }
        self.decode.check_end(self.end).map(|()| None)
    }

    /// Gives the decoder its next packet, or its end.
    fn feed(&mut self, heartbeat: &Heartbeat<'_>) -> Result<(), MediaError> {
        heartbeat.beat();
        let Some(packet) = self.packets.next() else {
            self.drained = self.decode.decoder.send_eof().is_err();
            return Ok(());
        };
        match self.decode.decoder.send_packet(&packet) {
            // A damaged packet is skipped; the end of the stream tells whether that mattered.
            Ok(()) | Err(ffmpeg::Error::InvalidData) => Ok(()),
            Err(error) if again(error) => Ok(()),
            Err(error) => Err(self.decode.failed(error)),
        }
    }
}

fn parameters_name(input: &Input, stream: usize) -> Option<&'static str> {
    Some(input.context.stream(stream)?.parameters().id().name())
}
