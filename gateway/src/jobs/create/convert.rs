use std::collections::BTreeMap;

use ffapi_domain::media::{Convert, MediaRequest};
use poem_openapi::Object;
use serde::Deserialize;

use super::options::{Create, HardwareBody, JobOptions, PriorityWord};
use crate::{
    media::{
        InputLocation, OperationJson, OutputLocation, OverwriteWord, operations, overwrite_at,
    },
    problem::Problem,
};

/// A file to convert.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "ConvertRequest")]
pub(crate) struct ConvertBody {
    input: InputLocation,
    /// `local://path` or a bare path; its extension chooses the container. With `%04d` in the name
    /// of an image, each frame becomes a numbered file. Or the URL at which the file is put.
    output: OutputLocation,
    /// Applied in order.
    #[serde(default)]
    #[oai(default)]
    operations: Vec<OperationJson>,
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

impl Create for ConvertBody {
    const ROUTE: &'static str = "/convert";

    fn media(&self) -> Result<MediaRequest, Problem> {
        let input = self.input.read("#/input")?;
        let output = self.output.read(&input)?;
        let overwrite = overwrite_at(&output, self.overwrite)?;
        Ok(MediaRequest::Convert(Convert {
            output,
            input,
            operations: operations(&self.operations)?,
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
