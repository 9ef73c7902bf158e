use ffapi_domain::media::{Analyze, MediaRequest, Stream, Thumbnails};
use poem_openapi::{Object, Union};

use super::{CaptionBody, InputLocation, PosterBody, SpriteBody, VariantBody, value};

/// What a job's request says in addition to its input, output and operations: the fields of the POST of
/// its kind.
#[derive(Debug, Union)]
#[oai(rename = "JobSettings", one_of)]
pub(crate) enum SettingsBody {
    /// Of a `stream` job.
    Stream(Box<StreamSettings>),
    /// Of a `thumbnails` job.
    Thumbnails(ThumbnailsSettings),
    /// Of an `analyze` job.
    Analyze(AnalyzeSettings),
}

impl SettingsBody {
    /// The settings of a request; `None` for a kind that has none.
    pub(crate) fn of(request: &MediaRequest) -> Option<Self> {
        match request {
            MediaRequest::Stream(stream) => Some(Self::Stream(Box::new(stream.into()))),
            MediaRequest::Thumbnails(thumbnails) => Some(Self::Thumbnails(thumbnails.into())),
            MediaRequest::Analyze(analyze) => Some(Self::Analyze(analyze.into())),
            MediaRequest::Convert(_) | MediaRequest::Probe(_) => None,
        }
    }

    /// For display: without the queries of URLs, which may be signatures.
    pub(crate) fn without_signatures(mut self) -> Self {
        match &mut self {
            Self::Stream(stream) => {
                let inputs = stream.captions.iter_mut().map(CaptionBody::input_mut);
                inputs.for_each(InputLocation::remove_signature);
            }
            Self::Analyze(analyze) => {
                analyze.reference.iter_mut().for_each(InputLocation::remove_signature);
            }
            Self::Thumbnails(_) => {}
        }
        self
    }
}

/// The settings of a `stream` job.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
pub(crate) struct StreamSettings {
    /// `hls`, `dash` or `cmaf`.
    #[oai(rename = "type")]
    packaging: String,
    /// The ladder as requested; empty if it was left to the service.
    variants: Vec<VariantBody>,
    /// Seconds; 6 if absent.
    segment_duration: Option<f64>,
    /// `fmp4` or `ts`.
    segment_format: String,
    /// `files` or `single_file`.
    segments: String,
    /// `h264` or `hevc`; `h264` if absent.
    video_codec: Option<String>,
    /// `ultrafast`, `superfast`, `veryfast`, `faster`, `fast`, `medium`, `slow`, `slower` or `veryslow`.
    encoder_preset: Option<String>,
    /// `aes-128`.
    encryption: Option<String>,
    captions: Vec<CaptionBody>,
    poster: Option<PosterBody>,
    sprite: Option<SpriteBody>,
    /// What is measured during encoding.
    metrics: Vec<String>,
}

/// The settings of a `thumbnails` job.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
pub(crate) struct ThumbnailsSettings {
    /// `single`, `interval`, `count`, `grid`, `sprite` or `animated`.
    mode: String,
    /// Seconds.
    timestamp: Option<f64>,
    /// Seconds between two thumbnails.
    interval: Option<f64>,
    /// The number of thumbnails.
    count: Option<u32>,
    /// Pixels of one thumbnail.
    width: Option<u32>,
    height: Option<u32>,
    /// `jpeg`, `png`, `webp` or `gif`.
    format: Option<String>,
    /// Thumbnails in a row.
    columns: Option<u32>,
}

/// The settings of an `analyze` job.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
pub(crate) struct AnalyzeSettings {
    /// The file that the input is compared with.
    reference: Option<InputLocation>,
    /// What is measured.
    metrics: Vec<String>,
    /// True if the scores of every frame are reported.
    per_frame: bool,
}

impl From<&Stream> for StreamSettings {
    fn from(stream: &Stream) -> Self {
        Self {
            packaging: stream.packaging.as_str().to_owned(),
            variants: stream.variants.iter().map(VariantBody::from).collect(),
            segment_duration: stream.segment_duration.map(value::micros_as_seconds),
            segment_format: value::name_of(&stream.segments),
            segments: value::name_of(&stream.layout),
            video_codec: stream.video_codec.map(|codec| codec.as_str().to_owned()),
            encoder_preset: stream.preset.map(|preset| preset.as_str().to_owned()),
            encryption: stream.encrypted.then(|| "aes-128".to_owned()),
            captions: stream.captions.iter().map(CaptionBody::from).collect(),
            poster: stream.poster.as_ref().map(PosterBody::from),
            sprite: stream.sprite.as_ref().map(SpriteBody::from),
            metrics: stream.metrics.iter().map(|metric| metric.as_str().to_owned()).collect(),
        }
    }
}

impl From<&Thumbnails> for ThumbnailsSettings {
    fn from(thumbnails: &Thumbnails) -> Self {
        Self {
            mode: thumbnails.mode.as_str().to_owned(),
            timestamp: thumbnails.timestamp.map(value::micros_as_seconds),
            interval: thumbnails.interval.map(value::micros_as_seconds),
            count: thumbnails.count,
            width: thumbnails.width,
            height: thumbnails.height,
            format: thumbnails.format.map(|format| format.as_str().to_owned()),
            columns: thumbnails.columns,
        }
    }
}

impl From<&Analyze> for AnalyzeSettings {
    fn from(analyze: &Analyze) -> Self {
        Self {
            reference: analyze.reference.as_ref().map(InputLocation::from),
            metrics: analyze.metrics.iter().map(|metric| metric.as_str().to_owned()).collect(),
            per_frame: analyze.per_frame,
        }
    }
}
