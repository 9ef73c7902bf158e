use std::collections::BTreeMap;

use ffapi_domain::media::{Analyze, MediaRequest};
use poem_openapi::Object;
use serde::Deserialize;

use super::options::{Create, HardwareBody, JobOptions, PriorityWord};
use crate::{
    media::{InputLocation, value},
    problem::Problem,
};

/// A file to measure.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "AnalyzeRequest")]
pub(crate) struct AnalyzeBody {
    input: InputLocation,
    /// The file that `vmaf`, `psnr` and `ssim` compare the input with.
    reference: Option<InputLocation>,
    /// `vmaf`, `psnr`, `ssim`, `loudness`, `scenes`, `black`, `silence`, `complexity`, `bitrate`
    /// and `keyframes`.
    metrics: Vec<String>,
    /// Also report the scores of every frame for `vmaf`, `psnr` and `ssim`.
    #[serde(default)]
    #[oai(default)]
    per_frame: bool,
    priority: Option<PriorityWord>,
    /// Up to 32 labels, echoed in the job and its events.
    metadata: Option<BTreeMap<String, String>>,
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
}

impl Create for AnalyzeBody {
    const ROUTE: &'static str = "/analyze";

    fn media(&self) -> Result<MediaRequest, Problem> {
        let reference = self.reference.as_ref().map(|input| input.read("#/reference"));
        Ok(MediaRequest::Analyze(Analyze {
            input: self.input.read("#/input")?,
            reference: reference.transpose()?,
            metrics: value::metrics(self.metrics.iter())?,
            per_frame: self.per_frame,
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
            keep: None,
        }
    }
}
