use ffapi_domain::media::{AudioFilter, AudioPlan, AudioSegment};
use poem_openapi::Object;

use super::parts::{SourceBody, WindowBody};
use crate::media::value::micros_as_seconds;

/// How an audio stream is made.
#[derive(Debug, Object)]
#[oai(rename = "PlanAudio", skip_serializing_if_is_none)]
pub(crate) struct AudioBody {
    /// The stream that it comes from.
    source: SourceBody,
    /// The codec of the encoder, or `copy`.
    codec: String,
    /// The filters, in order.
    filters: Vec<AudioFilterBody>,
    /// Bits per second; absent for a lossless codec.
    bitrate: Option<u64>,
    /// The number of channels.
    channels: u32,
    /// FFmpeg's name of the channel layout; the usual one for that number of channels if absent.
    layout: Option<String>,
    /// Hertz.
    sample_rate: u32,
    /// Bits per sample.
    bits: u8,
    /// ISO 639 language code.
    language: Option<String>,
    /// The title that a player shows.
    title: Option<String>,
}

/// A filter of an audio stream: it has one of the fields.
#[derive(Debug, Default, Object)]
#[oai(rename = "PlanAudioFilter", skip_serializing_if_is_none)]
pub(crate) struct AudioFilterBody {
    /// The part that is kept.
    trim: Option<WindowBody>,
    /// How much faster it plays, at the same pitch.
    speed: Option<f64>,
    /// The factor of the amplitude.
    volume: Option<f64>,
    /// The loudness that it is normalized to, in LUFS.
    loudness: Option<f64>,
    /// Seconds of a fade from silence.
    fade_in: Option<f64>,
    /// A fade to silence.
    fade_out: Option<FadeOutBody>,
    /// True: silence from the start until the first sample.
    from_zero: Option<bool>,
    /// The exact duration in seconds: silence is appended, or the rest is cut.
    fill: Option<f64>,
    /// Seconds of silence before it.
    delay: Option<f64>,
    /// The audio that is appended.
    concat: Option<Vec<AudioSegmentBody>>,
}

/// A fade to silence.
#[derive(Debug, Object)]
#[oai(rename = "PlanFadeOut")]
pub(crate) struct FadeOutBody {
    /// When it starts, in seconds.
    start: f64,
    /// Its duration in seconds.
    length: f64,
}

/// The audio of an appended input.
#[derive(Debug, Object)]
#[oai(rename = "PlanAudioSegment", skip_serializing_if_is_none)]
pub(crate) struct AudioSegmentBody {
    /// Index of the input.
    input: usize,
    /// Index of the stream in the input; silence if absent.
    stream: Option<u32>,
    /// Seconds.
    duration: f64,
}

impl From<&AudioPlan> for AudioBody {
    fn from(audio: &AudioPlan) -> Self {
        Self {
            source: audio.source.into(),
            codec: audio.codec.as_str().to_owned(),
            filters: audio.filters.iter().map(AudioFilterBody::from).collect(),
            bitrate: audio.bitrate,
            channels: audio.channels,
            layout: audio.layout.clone(),
            sample_rate: audio.sample_rate,
            bits: audio.bits,
            language: audio.language.clone(),
            title: audio.title.clone(),
        }
    }
}

impl From<&AudioFilter> for AudioFilterBody {
    fn from(filter: &AudioFilter) -> Self {
        let mut body = Self::default();
        match filter {
            AudioFilter::Trim(window) => body.trim = Some((*window).into()),
            AudioFilter::Speed(factor) => body.speed = Some(*factor),
            AudioFilter::Volume(factor) => body.volume = Some(*factor),
            AudioFilter::Loudness(lufs) => body.loudness = Some(*lufs),
            AudioFilter::FadeIn(length) => body.fade_in = Some(micros_as_seconds(*length)),
            AudioFilter::FadeOut { start, length } => {
                let (start, length) = (micros_as_seconds(*start), micros_as_seconds(*length));
                body.fade_out = Some(FadeOutBody { start, length });
            }
            AudioFilter::FromZero => body.from_zero = Some(true),
            AudioFilter::Fill(duration) => body.fill = Some(micros_as_seconds(*duration)),
            AudioFilter::Delay(duration) => body.delay = Some(micros_as_seconds(*duration)),
            AudioFilter::Concat(segments) => {
                body.concat = Some(segments.iter().map(AudioSegmentBody::from).collect());
            }
        }
        body
    }
}

impl From<&AudioSegment> for AudioSegmentBody {
    fn from(segment: &AudioSegment) -> Self {
        Self {
            input: segment.input,
            stream: segment.stream,
            duration: micros_as_seconds(segment.duration),
        }
    }
}
