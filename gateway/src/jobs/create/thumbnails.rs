use std::collections::BTreeMap;

use ffapi_domain::media::{ImageFormat, MediaRequest, ThumbnailMode, Thumbnails};
use poem_openapi::{Object, types::Any};
use serde::Deserialize;
use serde_json::Value;

use super::options::{Create, HardwareBody, JobOptions, PriorityWord};
use crate::{
    media::{InputLocation, OutputLocation, OverwriteWord, overwrite_at, value},
    problem::Problem,
};

/// A video to create thumbnails of.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "ThumbnailsRequest")]
pub(crate) struct ThumbnailsBody {
    input: InputLocation,
    /// A folder: `local://path` or a bare path; or a template of the URLs at which its files are put.
    output: OutputLocation,
    /// `single`, `interval`, `count`, `grid`, `sprite` or `animated`.
    mode: String,
    /// `single`: the time of the frame; `animated`: where it begins. A representative one is chosen
    /// if absent.
    timestamp: Option<Any<Value>>,
    /// `interval`, `sprite`: time between two thumbnails.
    interval: Option<Any<Value>>,
    /// `count`, `grid`: number of thumbnails.
    count: Option<u32>,
    /// Pixels of one thumbnail; 320 wide if neither side is given.
    width: Option<u32>,
    height: Option<u32>,
    /// `jpeg`, `png` or `webp`; for `animated` `webp` or `gif`.
    format: Option<String>,
    /// `grid`, `sprite`: thumbnails in a row.
    columns: Option<u32>,
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

impl Create for ThumbnailsBody {
    const ROUTE: &'static str = "/thumbnails";

    fn media(&self) -> Result<MediaRequest, Problem> {
        let input = self.input.read("#/input")?;
        let output = self.output.read(&input)?;
        let overwrite = overwrite_at(&output, self.overwrite)?;
        Ok(MediaRequest::Thumbnails(Thumbnails {
            output,
            input,
            mode: value::known::<ThumbnailMode>(self.mode.clone(), "#/mode")?,
            timestamp: value::time(self.timestamp.as_ref(), "#/timestamp")?,
            interval: value::time(self.interval.as_ref(), "#/interval")?,
            count: self.count,
            width: self.width,
            height: self.height,
            format: value::word::<ImageFormat>(self.format.clone(), "#/format")?,
            columns: self.columns,
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
