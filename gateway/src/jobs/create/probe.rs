use std::collections::BTreeMap;

use ffapi_domain::media::{MediaRequest, Probe};
use poem_openapi::Object;
use serde::Deserialize;

use super::{Create, HardwareBody, PriorityWord, Terms};
use crate::{media::value, problem::Problem};

/// A file to look into.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "ProbeRequest")]
pub(crate) struct ProbeBody {
    /// `upload_…`, `local://path`, a bare path or `https://…`.
    input: String,
    priority: Option<PriorityWord>,
    /// Up to 32 labels, echoed everywhere.
    metadata: Option<BTreeMap<String, String>>,
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

impl Create for ProbeBody {
    const ROUTE: &'static str = "/probe";

    fn media(&self) -> Result<MediaRequest, Problem> {
        let input = value::input(&self.input, "#/input")?;
        Ok(MediaRequest::Probe(Probe { input }))
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
