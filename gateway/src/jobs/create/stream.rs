use std::collections::BTreeMap;

use ffapi_domain::media::{
    MediaRequest, Packaging, Preset, SegmentFormat, SegmentLayout, Stream, VideoCodec,
};
use poem_openapi::{Object, types::Any};
use serde::Deserialize;
use serde_json::Value;

use super::options::{Create, HardwareBody, JobOptions, PriorityWord};
use crate::{
    media::{
        CaptionBody, InputLocation, OutputLocation, OverwriteWord, PosterBody, SpriteBody,
        VariantBody, overwrite_at, value,
    },
    problem::{Kind, Problem},
};

/// A video to package for adaptive streaming.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "StreamRequest")]
pub(crate) struct StreamBody {
    input: InputLocation,
    /// A folder: `local://path` or a bare path; or a template of the URLs at which its files are put.
    output: OutputLocation,
    /// `hls`, `dash`, or `cmaf` for both over one set of segments.
    #[serde(rename = "type")]
    #[oai(rename = "type")]
    packaging: String,
    /// The ladder; chosen by the video's size and complexity if absent. Video is never upscaled.
    variants: Option<Vec<VariantBody>>,
    /// 1 to 30 seconds; 6 if absent.
    segment_duration: Option<Any<Value>>,
    /// `fmp4` (the default), or `ts` for `hls`.
    segment_format: Option<String>,
    /// `files` (the default): a file for each segment; or `single_file`: one file for all segments of a
    /// rendition, which players read in parts. Long videos need it: a job has at most 10,000 files.
    segments: Option<String>,
    /// `h264` (the default) or `hevc`.
    video_codec: Option<String>,
    /// `ultrafast`, `superfast`, `veryfast`, `faster`, `fast`, `medium`, `slow`, `slower` or `veryslow`: slower
    /// ones compress better.
    encoder_preset: Option<String>,
    /// `aes-128` for `hls`; the key file is written next to the segments.
    encryption: Option<String>,
    captions: Option<Vec<CaptionBody>>,
    poster: Option<PosterBody>,
    sprite: Option<SpriteBody>,
    /// What to measure during encoding, for the job's `result`: `vmaf` of each rendition,
    /// `loudness`, `scenes`, `black`, `silence` and `complexity` of the input.
    metrics: Option<Vec<String>>,
    priority: Option<PriorityWord>,
    /// Up to 32 labels, echoed in the job and its events.
    metadata: Option<BTreeMap<String, String>>,
    overwrite: Option<OverwriteWord>,
    /// RFC 3339; the job does not start earlier.
    not_before: Option<String>,
    hardware: Option<HardwareBody>,
    /// Where this job's events are sent, signed with the account's own secret.
    webhook_url: Option<String>,
    /// Event types to send to `webhook_url`; if absent, all but steps within an attempt.
    webhook_events: Option<Vec<String>>,
    /// A preset of this kind, like `web-1080p` or `web-1080p@3`. It supplies the fields that this
    /// request leaves out. `_/web-1080p` names the shared preset if the account has its own with
    /// the same name.
    preset: Option<String>,
    /// Seconds that the outputs are kept after completion, 60 to 315360000 (10 years); the service's
    /// retention if absent.
    keep: Option<u64>,
}

impl Create for StreamBody {
    const ROUTE: &'static str = "/stream";

    fn media(&self) -> Result<MediaRequest, Problem> {
        let input = self.input.read("#/input")?;
        let output = self.output.read(&input)?;
        let overwrite = overwrite_at(&output, self.overwrite)?;
        let variants = self.variants.iter().flatten().enumerate();
        let variants = variants.map(|(index, variant)| variant.read(index));
        let captions = self.captions.iter().flatten().enumerate();
        let captions = captions.map(|(index, caption)| caption.read(index));
        let encrypted = match self.encryption.as_deref() {
            None => false,
            Some("aes-128") => true,
            Some(_) => {
                let detail = "the only supported encryption is `aes-128`";
                return Err(Problem::field(Kind::Invalid, "#/encryption", detail));
            }
        };
        let segments = self.segment_format.clone();
        Ok(MediaRequest::Stream(Stream {
            output,
            input,
            packaging: value::known::<Packaging>(self.packaging.clone(), "#/type")?,
            segments: value::word::<SegmentFormat>(segments, "#/segment_format")?
                .unwrap_or_default(),
            layout: value::word::<SegmentLayout>(self.segments.clone(), "#/segments")?
                .unwrap_or_default(),
            variants: variants.collect::<Result<_, Problem>>()?,
            segment_duration: value::time(self.segment_duration.as_ref(), "#/segment_duration")?,
            video_codec: value::word::<VideoCodec>(self.video_codec.clone(), "#/video_codec")?,
            preset: value::word::<Preset>(self.encoder_preset.clone(), "#/encoder_preset")?,
            encrypted,
            captions: captions.collect::<Result<_, Problem>>()?,
            poster: self.poster.as_ref().map(PosterBody::read).transpose()?,
            sprite: self.sprite.as_ref().map(SpriteBody::read).transpose()?,
            metrics: value::metrics(self.metrics.iter().flatten())?,
            overwrite,
        }))
    }

    fn options(&self) -> JobOptions<'_> {
        JobOptions {
            priority: self.priority,
            metadata: self.metadata.as_ref(),
            not_before: self.not_before.as_deref(),
            hardware: self.hardware.as_ref(),
            webhook_url: self.webhook_url.as_deref(),
            webhook_events: self.webhook_events.as_deref(),
            preset: self.preset.as_deref(),
            keep: self.keep,
        }
    }
}
