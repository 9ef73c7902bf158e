use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    BatchId, JobId, LeaseId, Personal, Timestamp,
    dispatch::Waited,
    media::{Hardware, MediaRequest, Spent},
    personal::once_clear,
    webhook::Callback,
};

/// What happened to a job. Names and fields are the storage format: added to, never changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum JobEvent {
    /// It was submitted.
    #[serde(rename = "job.submitted")]
    Submitted {
        /// Everything that a worker needs to run it.
        spec: Box<JobSpec>,
    },
    /// A worker started an attempt. Its number is a fencing token: a later attempt supersedes an
    /// earlier one.
    #[serde(rename = "job.attempt_started")]
    AttemptStarted {
        /// Number of the attempt, starting at 1.
        attempt: u32,
        /// Id of the worker process.
        worker: String,
        /// The pool that it runs in.
        pool: String,
        /// The pool's device that it runs on: a path or number.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        device: Option<String>,
        /// Why it did not start sooner, if it waited for a noticeable time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        waited: Option<Waited>,
    },
    /// The attempt failed.
    #[serde(rename = "job.attempt_failed")]
    AttemptFailed {
        /// Number of the attempt.
        attempt: u32,
        /// Why it failed.
        failure: Failure,
        /// Earliest start of the next attempt; `None` if there is none.
        #[serde(default)]
        retry_at: Option<Timestamp>,
    },
    /// The attempt's worker was lost, which does not count as a failure of the job.
    #[serde(rename = "job.attempt_abandoned")]
    AttemptAbandoned {
        /// Number of the attempt.
        attempt: u32,
        /// What was observed.
        reason: String,
        /// True if the worker handed the attempt back itself when it shut down.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        handed_back: bool,
    },
    /// Cancellation was requested while it ran; a completion is rejected from now on.
    #[serde(rename = "job.cancel_requested")]
    CancelRequested {
        /// The attempt to stop.
        attempt: u32,
    },
    /// It is cancelled, and nothing of it runs any more.
    #[serde(rename = "job.cancelled")]
    Cancelled {},
    /// Verified outputs are staged: the commit point.
    #[serde(rename = "job.outputs_sealed")]
    OutputsSealed {
        /// The attempt that produced the outputs; it names the staging folder.
        attempt: u32,
        /// The output files.
        outputs: Vec<OutputFile>,
        /// The result of a probe or analysis.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        result: Option<Personal<serde_json::Value>>,
        /// What the work cost, for estimates.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        spent: Option<Spent>,
        /// The [`JobPlan`](crate::media::JobPlan) that the attempt followed, as JSON: a later version that
        /// cannot read it does without.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        plan: Option<Personal<serde_json::Value>>,
    },
    /// The outputs are at their final locations.
    #[serde(rename = "job.completed")]
    Completed {
        /// The attempt that delivered them.
        attempt: u32,
    },
    /// It ended without outputs.
    #[serde(rename = "job.failed")]
    Failed {
        /// Why it failed.
        failure: Failure,
        /// True if the failure was retryable but all attempts were used up.
        #[serde(default)]
        dead_lettered: bool,
    },
    /// Another attempt was requested after the end.
    #[serde(rename = "job.retried")]
    Retried {
        /// Number of the next attempt.
        next_attempt: u32,
        /// The lease whose queue slot it spends.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lease: Option<LeaseId>,
    },
    /// Its outputs were deleted at the end of their retention.
    #[serde(rename = "job.outputs_expired")]
    OutputsExpired {},
    /// Its outputs, or one of them, were deleted on request.
    #[serde(rename = "job.outputs_deleted")]
    OutputsDeleted {
        /// The one that was deleted; `None` for all of them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        only: Option<DeletedOutput>,
    },
    /// Its priority changed.
    #[serde(rename = "job.priority_changed")]
    PriorityChanged {
        /// The new priority.
        priority: Priority,
    },
}

impl JobEvent {
    /// True if it removes all outputs of the job.
    pub const fn removes_all_outputs(&self) -> bool {
        matches!(self, Self::OutputsExpired {} | Self::OutputsDeleted { only: None })
    }
}

/// The immutable specification of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobSpec {
    /// The media work to do.
    pub request: MediaRequest,
    /// Priority among the jobs of its tenant.
    #[serde(default)]
    pub priority: Priority,
    /// Labels set by the user, returned wherever the job is.
    #[serde(default)]
    pub metadata: Personal<BTreeMap<String, String>>,
    /// Earliest start.
    #[serde(default)]
    pub not_before: Option<Timestamp>,
    /// Hardware preference; `None` for the CPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hardware: Option<Hardware>,
    /// The batch that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<Membership>,
    /// Attempts that may fail; `None` for the default of its kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
    /// Endpoint that the job's events are sent to, in addition to the tenant's webhooks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback: Option<Callback>,
    /// The job that this one reruns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerun_of: Option<JobId>,
    /// The preset that supplied default values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<PresetRef>,
    /// The lease whose queue slot it spends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<LeaseId>,
    /// Seconds that its outputs are kept after its completion; `None` for the service's retention.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<u64>,
}

/// An output that was deleted on request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletedOutput {
    /// Its name relative to the job's output location.
    pub name: Personal<String>,
    /// Where it was.
    pub location: Personal<String>,
}

/// A version of a preset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresetRef {
    /// The preset's name.
    pub name: String,
    /// Version number, starting at 1.
    pub version: u32,
    /// True for a global preset.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub global: bool,
}

/// A job's membership in a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The batch.
    pub id: BatchId,
    /// Index in the batch, starting at 0.
    pub index: u32,
    /// Maximum number of the batch's jobs that run at once.
    pub max_parallel: u32,
}

impl JobSpec {
    /// A specification with default values for everything but the request.
    pub fn of(request: MediaRequest) -> Self {
        Self {
            request,
            priority: Priority::default(),
            metadata: Personal::Clear(BTreeMap::new()),
            not_before: None,
            hardware: None,
            batch: None,
            max_attempts: None,
            callback: None,
            rerun_of: None,
            preset: None,
            lease: None,
            keep: None,
        }
    }
}

/// A job's priority among the jobs of its tenant.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Released when no other job of the tenant waits.
    Low,
    /// Released in turn.
    #[default]
    Normal,
    /// Released first.
    High,
}

/// Why an attempt or a job failed, for people and programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Stable code, documented in docs/errors.md.
    pub code: FailureCode,
    /// A sentence that says what to do.
    pub message: Personal<String>,
}

/// The kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureCode {
    /// The input contains no readable media.
    InvalidInput,
    /// The input does not exist.
    InputNotFound,
    /// The input's address may not be fetched from, or its host denies access.
    InputForbidden,
    /// The input's host does not respond, drops the connection or is too slow.
    InputUnreachable,
    /// The job that makes the input failed or was cancelled.
    InputJobFailed,
    /// The input exceeds a limit.
    InputTooLarge,
    /// The request cannot be fulfilled for this input.
    Unsupported,
    /// The account or key has not enough media minutes left this month, or its queue is full.
    QuotaExceeded,
    /// The account's storage limit is reached, and the job's outputs do not fit.
    StorageFull,
    /// The output name is taken.
    OutputExists,
    /// The output's URL may not be sent to, or its host rejects the file.
    OutputForbidden,
    /// The signature of the output's URL has ended.
    OutputUrlExpired,
    /// The host of the output's URL does not respond, or asks to try again later.
    OutputUnreachable,
    /// The media process crashed.
    MediaCrashed,
    /// The media process stopped making progress.
    MediaStalled,
    /// The media process ran out of memory or another resource.
    ResourceExhausted,
    /// The worker's scratch disk has not enough space for the job.
    ScratchFull,
    /// The job exceeds the account's limit of time, or of CPU time, per job.
    TimeLimitExceeded,
    /// The outputs do not match the plan.
    VerificationFailed,
    /// Storage could not be read or written.
    StorageUnavailable,
    /// Workers were repeatedly lost while they ran it.
    WorkerLost,
    /// An internal error.
    Internal,
}

/// Whether a retry may succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryHint {
    /// The same request may succeed later.
    Retry,
    /// The request must be changed first.
    NoRetry,
}

impl FailureCode {
    /// Failures caused by the request are not retried; internal ones are.
    pub const fn retry_hint(self) -> RetryHint {
        match self {
            Self::InvalidInput
            | Self::InputNotFound
            | Self::InputForbidden
            | Self::InputTooLarge
            | Self::Unsupported
            | Self::QuotaExceeded
            | Self::TimeLimitExceeded
            | Self::StorageFull
            | Self::OutputExists
            | Self::OutputForbidden
            | Self::OutputUrlExpired => RetryHint::NoRetry,
            Self::InputUnreachable
            | Self::OutputUnreachable
            | Self::InputJobFailed
            | Self::MediaCrashed
            | Self::MediaStalled
            | Self::ResourceExhausted
            | Self::ScratchFull
            | Self::VerificationFailed
            | Self::StorageUnavailable
            | Self::WorkerLost
            | Self::Internal => RetryHint::Retry,
        }
    }

    /// True if it says nothing about the job: the attempt does not count towards those that may fail.
    pub const fn is_deferral(self) -> bool {
        matches!(self, Self::ScratchFull)
    }

    /// Every code.
    pub const ALL: &'static [Self] = &[
        Self::InvalidInput,
        Self::InputNotFound,
        Self::InputForbidden,
        Self::InputUnreachable,
        Self::InputJobFailed,
        Self::InputTooLarge,
        Self::Unsupported,
        Self::QuotaExceeded,
        Self::StorageFull,
        Self::OutputExists,
        Self::OutputForbidden,
        Self::OutputUrlExpired,
        Self::OutputUnreachable,
        Self::MediaCrashed,
        Self::MediaStalled,
        Self::ResourceExhausted,
        Self::ScratchFull,
        Self::TimeLimitExceeded,
        Self::VerificationFailed,
        Self::StorageUnavailable,
        Self::WorkerLost,
        Self::Internal,
    ];

    /// The code in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidInput => "invalid_input",
            Self::InputNotFound => "input_not_found",
            Self::InputForbidden => "input_forbidden",
            Self::InputUnreachable => "input_unreachable",
            Self::InputJobFailed => "input_job_failed",
            Self::InputTooLarge => "input_too_large",
            Self::Unsupported => "unsupported",
            Self::QuotaExceeded => "quota_exceeded",
            Self::StorageFull => "storage_full",
            Self::OutputExists => "output_exists",
            Self::OutputForbidden => "output_forbidden",
            Self::OutputUrlExpired => "output_url_expired",
            Self::OutputUnreachable => "output_unreachable",
            Self::MediaCrashed => "media_crashed",
            Self::MediaStalled => "media_stalled",
            Self::ResourceExhausted => "resource_exhausted",
            Self::ScratchFull => "scratch_full",
            Self::TimeLimitExceeded => "time_limit_exceeded",
            Self::VerificationFailed => "verification_failed",
            Self::StorageUnavailable => "storage_unavailable",
            Self::WorkerLost => "worker_lost",
            Self::Internal => "internal",
        }
    }
}

/// One output file of a job, as measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutputFile {
    /// Name relative to the job's output location.
    #[serde(deserialize_with = "once_clear")]
    pub name: Personal<String>,
    /// Its final location; of a URL at which it is put, without the query.
    pub location: Personal<String>,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 as a hex digest.
    pub sha256: String,
    /// Duration in seconds, as read back from the file.
    #[serde(default)]
    pub duration: Option<f64>,
    /// Its streams, as read back from the file.
    #[serde(default)]
    pub streams: Vec<StreamSummary>,
}

impl OutputFile {
    /// True if it was put at a URL, so that no store has it. Its location is then the URL as it is shown.
    pub fn is_put(&self) -> bool {
        let is_url = |text: &String| text.starts_with("https://") || text.starts_with("http://");
        self.location.as_ref().is_some_and(is_url)
    }
}

/// One stream of an output, as read back from the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StreamSummary {
    /// `video` or `audio`.
    pub kind: String,
    /// FFmpeg's codec name.
    pub codec: String,
    /// Width in pixels; video only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Height in pixels; video only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// Frames per second; video only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fps: Option<f64>,
    /// Number of channels; audio only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<u32>,
    /// Sample rate in hertz; audio only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample_rate: Option<u32>,
}
