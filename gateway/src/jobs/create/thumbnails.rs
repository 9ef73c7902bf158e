use std::collections::BTreeMap;

use ffapi_domain::media::{MediaRequest, PictureFormat, ThumbnailMode, Thumbnails};
use poem_openapi::{Object, types::Any};
use serde::Deserialize;
use serde_json::Value;

use super::{Create, HardwareBody, PriorityWord, Terms};
use crate::{
    media::{OverwriteWord, overwrite, value},
    problem::Problem,
};

/// A film to take pictures of.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "ThumbnailsRequest")]
pub(crate) struct ThumbnailsBody {
    /// `upload_…`, `local://path`, a bare path or `https://…`.
    input: String,
    /// A folder: `local://path` or a bare path.
    output: String,
    /// `single`, `interval`, `count`, `grid`, `sprite` or `animated`.
    mode: String,
    /// `single`: the instant, `animated`: where it begins; a good one is chosen when absent.
    timestamp: Option<Any<Value>>,
    /// `interval`, `sprite`: from one picture to the next.
    interval: Option<Any<Value>>,
    /// `count`, `grid`: how many.
    count: Option<u32>,
    /// Pixels of one picture; 320 when neither side is given.
    width: Option<u32>,
    height: Option<u32>,
    /// `jpeg`, `png` or `webp`; for `animated` `webp` or `gif`.
    format: Option<String>,
    /// `grid`, `sprite`: pictures in a row.
    columns: Option<u32>,
    priority: Option<PriorityWord>,
    /// Up to 32 labels, echoed everywhere.
    metadata: Option<BTreeMap<String, String>>,
    overwrite: Option<OverwriteWord>,
    /// RFC 3339; the job does not start earlier.
    not_before: Option<String>,
    hardware: Option<HardwareBody>,
    /// Where this job's events are sent, signed with the account's own secret.
    webhook_url: Option<String>,
    /// Which of them; all if absent.
    webhook_events: Option<Vec<String>>,
    /// A preset of this kind, like `web-1080p` or `web-1080p@3`: what is not said here is as it has it.
    /// `_/web-1080p` is everybody's where there is one of your own by that name as well.
    preset: Option<String>,
}

impl Create for ThumbnailsBody {
    const ROUTE: &'static str = "/thumbnails";

    fn media(&self) -> Result<MediaRequest, Problem> {
        let input = value::input(&self.input, "#/input")?;
        Ok(MediaRequest::Thumbnails(Thumbnails {
            output: value::output(&self.output, &input)?,
            input,
            mode: value::known::<ThumbnailMode>(self.mode.clone(), "#/mode")?,
            timestamp: value::time(self.timestamp.as_ref(), "#/timestamp")?,
            interval: value::time(self.interval.as_ref(), "#/interval")?,
            count: self.count,
            width: self.width,
            height: self.height,
            format: value::word::<PictureFormat>(self.format.clone(), "#/format")?,
            columns: self.columns,
            overwrite: overwrite(self.overwrite),
        }))
    }

    fn terms(&self) -> Terms<'_> {
        Terms {
            priority: self.priority,
            metadata: self.metadata.as_ref(),
            not_before: self.not_before.as_deref(),
            hardware: self.hardware.as_ref(),
            webhook_url: self.webhook_url.as_deref(),
            webhook_events: self.webhook_events.as_deref(),
            preset: self.preset.as_deref(),
        }
    }
}
