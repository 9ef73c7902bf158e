use ffapi_domain::{
    JobId,
    job::{
        Attempt, AttemptOutcome, JobError, JobStatus, JobSummary, JobView, OutputFile, RetryHint,
        output_path,
    },
    live::JobProgress,
    location::Location,
    media::{JobPlan, MediaRequest, Overwrite},
};
use poem_openapi::{Object, types::Any};
use serde_json::{Value, json};

use super::{urls::JobUrls, usage::UsageBody};
use crate::media::{OperationBody, PlanBody, SettingsBody};

/// A job without its request, attempts and outputs.
#[derive(Debug, Object)]
#[oai(rename = "JobSummary", skip_serializing_if_is_none)]
pub(crate) struct SummaryBody {
    id: String,
    /// `convert`, `stream`, `thumbnails`, `analyze` or `probe`
    kind: String,
    /// `queued`, `processing`, `completed`, `failed` or `cancelled`
    status: String,
    /// `low`, `normal` or `high`
    priority: String,
    /// The batch that it belongs to.
    batch_id: Option<String>,
    /// When its outputs will be deleted; absent if they are kept permanently.
    pub(super) expires_at: Option<String>,
    /// When its outputs were deleted, on request or at the end of their retention.
    outputs_expired_at: Option<String>,
    /// The job that it reruns.
    rerun_of: Option<String>,
    /// The preset that supplied defaults, like `web-1080p@3`.
    preset: Option<String>,
    /// The location of the input; absent once erased.
    input: Option<String>,
    /// The location of the output; absent once erased.
    output: Option<String>,
    metadata: Any<Value>,
    created_at: String,
    updated_at: String,
    started_at: Option<String>,
    completed_at: Option<String>,
    /// While it is queued: when the next attempt may start.
    next_attempt_at: Option<String>,
    /// True if cancellation was requested.
    cancel_requested: bool,
    /// Percent, 0 to 100; never decreases within an attempt.
    progress: f64,
    fps: Option<f64>,
    /// Seconds of media processed per second.
    speed: Option<f64>,
    eta_seconds: Option<f64>,
    /// Number of the newest attempt; 0 before the first.
    attempt: u32,
    error: Option<ErrorBody>,
    /// True if it failed after its last attempt.
    dead_lettered: bool,
    version: u64,
    #[oai(flatten)]
    pub(super) urls: JobUrls,
    links: Links,
}

/// A job.
#[derive(Debug, Object)]
#[oai(rename = "Job", skip_serializing_if_is_none)]
pub(crate) struct JobBody {
    #[oai(flatten)]
    pub(super) summary: SummaryBody,
    /// The operations of a `convert` job, in order.
    operations: Option<Vec<OperationBody>>,
    /// The settings of other kinds, as parsed.
    request: Option<SettingsBody>,
    /// `fail` or `replace`
    overwrite: String,
    /// The current stage of the running attempt.
    stage: Option<String>,
    attempts: Vec<AttemptBody>,
    /// The outputs, at most 100; of a stream its manifests and images. `GET /jobs/{id}/outputs` lists all
    /// of them.
    outputs: Vec<OutputBody>,
    /// The number of all outputs.
    outputs_total: u64,
    /// The size of all outputs in bytes.
    outputs_bytes: u64,
    /// Results of probing and measurements; `notes` lists decisions that the request left open.
    result: Option<Any<Value>>,
    /// What was done to make the outputs of a `convert`, `stream` or `thumbnails` job, once it is completed; absent
    /// if it is longer than 64 KiB, or was recorded by a version whose plans cannot be read any more.
    plan: Option<PlanBody>,
    /// What making the outputs used, once it is completed.
    pub(super) usage: Option<UsageBody>,
    /// The W3C trace of the request that put it into the queue; its attempts and webhooks continue it.
    trace_id: Option<String>,
}

/// One attempt by a worker.
#[derive(Debug, Object)]
#[oai(rename = "Attempt", skip_serializing_if_is_none)]
struct AttemptBody {
    number: u32,
    worker: String,
    pool: String,
    /// The path of the hardware device, if the pool uses one.
    device: Option<String>,
    started_at: String,
    ended_at: Option<String>,
    /// `completed`, `failed`, `abandoned` or `cancelled`
    outcome: Option<String>,
    error: Option<ErrorBody>,
}

/// Why a job or an attempt failed.
#[derive(Debug, Object)]
#[oai(rename = "JobError", skip_serializing_if_is_none)]
struct ErrorBody {
    /// Stable error code; see docs/errors.md.
    code: String,
    /// Message for people; absent once erased.
    message: Option<String>,
    /// `retry` or `no_retry`
    retry_hint: String,
}

/// A file that a job produced.
#[derive(Debug, Object)]
#[oai(rename = "Output", skip_serializing_if_is_none)]
pub(crate) struct OutputBody {
    name: Option<String>,
    location: Option<String>,
    size: u64,
    sha256: String,
    /// Duration in seconds.
    duration: Option<f64>,
    streams: Any<Value>,
    url: Option<String>,
}

#[derive(Debug, Object)]
struct Links {
    #[oai(rename = "self")]
    this: String,
    events: String,
    logs: String,
    outputs: String,
    cancel: String,
}

impl From<&JobError> for ErrorBody {
    fn from(error: &JobError) -> Self {
        Self {
            code: error.code.as_str().to_owned(),
            message: error.message.as_ref().cloned(),
            retry_hint: match error.retry_hint {
                RetryHint::Retry => "retry".to_owned(),
                RetryHint::NoRetry => "no_retry".to_owned(),
            },
        }
    }
}

fn attempt(attempt: &Attempt) -> AttemptBody {
    let outcome = attempt.outcome.map(|outcome| match outcome {
        AttemptOutcome::Completed => "completed",
        AttemptOutcome::Failed => "failed",
        AttemptOutcome::Abandoned => "abandoned",
        AttemptOutcome::Cancelled => "cancelled",
    });
    AttemptBody {
        number: attempt.number,
        worker: attempt.worker.clone(),
        pool: attempt.pool.clone(),
        device: attempt.device.clone(),
        started_at: attempt.started_at.to_string(),
        ended_at: attempt.ended_at.map(|at| at.to_string()),
        outcome: outcome.map(str::to_owned),
        error: attempt.error.as_ref().map(ErrorBody::from),
    }
}

pub(crate) fn output(job: JobId, output: &OutputFile) -> OutputBody {
    // Absent once the tenant is erased.
    let name = output.name.as_ref();
    OutputBody {
        name: name.cloned(),
        location: output.location.as_ref().cloned(),
        size: output.size,
        sha256: output.sha256.clone(),
        duration: output.duration,
        streams: Any(json!(output.streams)),
        url: name.filter(|_| !output.is_put()).map(|name| output_path(job, name)),
    }
}

/// The representation of a job in lists, with the newest progress from its worker.
pub(crate) fn summary(job: &JobSummary, progress: Option<&JobProgress>) -> SummaryBody {
    let base = format!("/api/v1/jobs/{}", job.id);
    let running = progress.filter(|_| job.status == JobStatus::Processing);
    let time = |at: Option<ffapi_domain::Timestamp>| at.map(|at| at.to_string());
    SummaryBody {
        id: job.id.to_string(),
        kind: job.kind.clone(),
        status: job.status.as_str().to_owned(),
        priority: json!(job.priority).as_str().unwrap_or_default().to_owned(),
        batch_id: job.batch_id.map(|batch| batch.to_string()),
        expires_at: None,
        outputs_expired_at: time(job.outputs_expired_at),
        rerun_of: job.rerun_of.map(|job| job.to_string()),
        preset: job.preset.as_ref().map(ToString::to_string),
        input: job.input.as_ref().map(Location::shown),
        output: job.output.as_ref().and_then(|output| output.as_ref().map(Location::shown)),
        metadata: Any(json!(job.metadata)),
        created_at: job.created_at.to_string(),
        updated_at: job.updated_at.to_string(),
        started_at: time(job.started_at),
        completed_at: time(job.completed_at),
        next_attempt_at: time(job.next_attempt_at),
        cancel_requested: job.cancel_requested,
        progress: match job.status {
            JobStatus::Completed => 100.0,
            JobStatus::Queued => 0.0,
            // A job that failed or was cancelled keeps its last progress.
            _ => progress.and_then(|progress| progress.progress).unwrap_or(0.0),
        },
        fps: running.map(|progress| progress.fps),
        speed: running.map(|progress| progress.speed),
        eta_seconds: running.and_then(|progress| progress.eta_seconds),
        attempt: job.attempt,
        error: job.error.as_ref().map(ErrorBody::from),
        dead_lettered: job.dead_lettered,
        version: job.version,
        urls: JobUrls::default(),
        links: Links {
            this: base.clone(),
            events: format!("{base}/events"),
            logs: format!("{base}/logs"),
            outputs: format!("{base}/outputs"),
            cancel: format!("{base}/cancel"),
        },
    }
}

/// Outputs that are shown with their job.
const MAX_OUTPUTS: usize = 100;

/// The outputs that are shown with their job: of a stream those beside its manifests, not the segments.
fn main_outputs<'a>(
    request: &MediaRequest,
    outputs: &'a [OutputFile],
) -> impl Iterator<Item = &'a OutputFile> {
    let is_stream = matches!(request, MediaRequest::Stream(_));
    let is_segment = |file: &OutputFile| file.name.as_ref().is_some_and(|name| name.contains('/'));
    outputs.iter().filter(move |file| !(is_stream && is_segment(file))).take(MAX_OUTPUTS)
}

/// The operations of a `convert` job.
pub(super) fn shown_operations(request: &MediaRequest) -> Option<Vec<OperationBody>> {
    let MediaRequest::Convert(convert) = request else { return None };
    let operations = convert.operations.iter().map(OperationBody::from);
    Some(operations.map(OperationBody::without_signatures).collect())
}

/// The representation of a job, with the newest progress from its worker.
pub(crate) fn show(job: &JobView, progress: Option<&JobProgress>) -> JobBody {
    let JobView { summary, request, attempts, outputs, result, plan, trace_id, .. } = job;
    let delivered: &[OutputFile] =
        if summary.status == JobStatus::Completed { outputs } else { &[] };
    JobBody {
        summary: self::summary(summary, progress),
        operations: shown_operations(request),
        request: SettingsBody::of(request).map(SettingsBody::without_signatures),
        overwrite: match request.overwrite() {
            Overwrite::Fail => "fail".to_owned(),
            Overwrite::Replace => "replace".to_owned(),
        },
        stage: match summary.status {
            JobStatus::Processing if !outputs.is_empty() => Some("delivering".to_owned()),
            JobStatus::Processing => Some(
                progress.map_or_else(|| "starting".to_owned(), |progress| progress.stage.clone()),
            ),
            _ => None,
        },
        attempts: attempts.iter().map(attempt).collect(),
        outputs: main_outputs(request, delivered).map(|file| output(summary.id, file)).collect(),
        outputs_total: delivered.len() as u64,
        outputs_bytes: delivered.iter().fold(0, |sum, file| sum.saturating_add(file.size)),
        result: result
            .as_ref()
            .filter(|_| summary.status == JobStatus::Completed)
            .and_then(|result| result.as_ref().cloned())
            .map(Any),
        plan: plan
            .as_ref()
            .filter(|_| summary.status == JobStatus::Completed)
            .and_then(|plan| plan.as_ref().cloned())
            .and_then(|plan| serde_json::from_value::<JobPlan>(plan).ok())
            .map(|plan| PlanBody::from(&plan)),
        usage: None,
        trace_id: trace_id.clone(),
    }
}
