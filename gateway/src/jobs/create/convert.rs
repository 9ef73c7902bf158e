use std::collections::BTreeMap;

use ffapi_domain::media::{Convert, MediaRequest};
use poem_openapi::Object;
use serde::Deserialize;

use super::{Create, HardwareBody, PriorityWord, Terms};
use crate::{
    media::{OperationJson, OverwriteWord, operations, overwrite, value},
    problem::Problem,
};

/// A file to convert.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "ConvertRequest")]
pub(crate) struct ConvertBody {
    /// `upload_…`, `local://path`, a bare path or `https://…`.
    input: String,
    /// `local://path` or a bare path; its extension chooses the container. `%04d` in a picture's
    /// name makes a numbered file of each.
    output: String,
    /// Applied in order.
    #[serde(default)]
    #[oai(default)]
    operations: Vec<OperationJson>,
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

impl Create for ConvertBody {
    const ROUTE: &'static str = "/convert";

    fn media(&self) -> Result<MediaRequest, Problem> {
        let input = value::input(&self.input, "#/input")?;
        Ok(MediaRequest::Convert(Convert {
            output: value::output(&self.output, &input)?,
            input,
            operations: operations(&self.operations)?,
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
