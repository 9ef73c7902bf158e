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
    /// It was asked for.
    #[serde(rename = "job.submitted")]
    Submitted {
        /// Everything the worker needs.
        spec: Box<JobSpec>,
    },
    /// A worker took it. The number is the fence: a later attempt deposes an earlier one.
    #[serde(rename = "job.attempt_started")]
    AttemptStarted {
        /// 1 for the first.
        attempt: u32,
        /// Which worker process.
        worker: String,
        /// What it runs on.
        pool: String,
        /// The hardware of that pool: its path or number.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        device: Option<String>,
        /// Why it did not start sooner, if it waited a while.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        waited: Option<Waited>,
    },
    /// The attempt ended badly.
    #[serde(rename = "job.attempt_failed")]
    AttemptFailed {
        /// Which one.
        attempt: u32,
        /// Why.
        failure: Failure,
        /// When the next one may start; none if there is none.
        #[serde(default)]
        retry_at: Option<Timestamp>,
    },
    /// Its worker vanished, which is not the job's fault.
    #[serde(rename = "job.attempt_abandoned")]
    AttemptAbandoned {
        /// Which one.
        attempt: u32,
        /// What was seen.
        reason: String,
        /// True if the worker gave it back by itself, as it went away.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        handed_back: bool,
    },
    /// Somebody called it off while it ran; from now on no completion counts.
    #[serde(rename = "job.cancel_requested")]
    CancelRequested {
        /// The attempt to stop.
        attempt: u32,
    },
    /// It is called off, and nothing of it runs.
    #[serde(rename = "job.cancelled")]
    Cancelled {},
    /// Verified outputs are staged: the commit point.
    #[serde(rename = "job.outputs_sealed")]
    OutputsSealed {
        /// Who made them; names the staging folder.
        attempt: u32,
        /// What they are.
        outputs: Vec<OutputFile>,
        /// What was found out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        result: Option<Personal<serde_json::Value>>,
        /// What it took.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        spent: Option<Spent>,
    },
    /// The outputs stand at their final names.
    #[serde(rename = "job.completed")]
    Completed {
        /// Who put them there.
        attempt: u32,
    },
    /// It ended without outputs.
    #[serde(rename = "job.failed")]
    Failed {
        /// Why.
        failure: Failure,
        /// True if it could have worked but every attempt was used up.
        #[serde(default)]
        dead_lettered: bool,
    },
    /// Somebody asked for another attempt after the end.
    #[serde(rename = "job.retried")]
    Retried {
        /// The number the next attempt will have.
        next_attempt: u32,
        /// Of whose places in the queue it has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lease: Option<LeaseId>,
    },
    /// Its outputs were kept as long as they are kept, and are gone.
    #[serde(rename = "job.outputs_expired")]
    OutputsExpired {},
    /// Its place in the queue changed.
    #[serde(rename = "job.priority_changed")]
    PriorityChanged {
        /// From now on.
        priority: Priority,
    },
}

/// What was asked for, once and for all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobSpec {
    /// The media work.
    pub request: MediaRequest,
    /// Before or after others of its tenant.
    #[serde(default)]
    pub priority: Priority,
    /// The user's own labels, echoed everywhere.
    #[serde(default)]
    pub metadata: Personal<BTreeMap<String, String>>,
    /// Not to start earlier.
    #[serde(default)]
    pub not_before: Option<Timestamp>,
    /// What it would like to run on; the processor if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hardware: Option<Hardware>,
    /// The batch that it is one of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<Membership>,
    /// Attempts that may fail by themselves; as many as its kind has if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
    /// Who is told of it, beside the tenant's own endpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback: Option<Callback>,
    /// The job that it does again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerun_of: Option<JobId>,
    /// What filled in what was not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<PresetRef>,
    /// Of whose places in the queue it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<LeaseId>,
}

/// A version of a preset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresetRef {
    /// Its name.
    pub name: String,
    /// 1 for the first.
    pub version: u32,
    /// True if it is everybody's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub global: bool,
}

/// A job's place in a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// Which.
    pub id: BatchId,
    /// From 0.
    pub index: u32,
    /// So many of the batch may run at once.
    pub max_parallel: u32,
}

impl JobSpec {
    /// A request, and nothing else that was asked for.
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
        }
    }
}

/// How urgent a job is, among its tenant's.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// When nothing else waits.
    Low,
    /// In turn.
    #[default]
    Normal,
    /// First.
    High,
}

/// Why something did not work, for a person and for a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Stable, documented in docs/errors.md.
    pub code: FailureCode,
    /// A sentence that says what to do.
    pub message: Personal<String>,
}

/// The kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureCode {
    /// The input holds no media that could be read.
    InvalidInput,
    /// The input does not exist.
    InputNotFound,
    /// The input is where nothing may be fetched from, or its host does not give it to us.
    InputForbidden,
    /// The input's host does not answer, breaks off or is too slow.
    InputUnreachable,
    /// The input is beyond a limit.
    InputTooLarge,
    /// The request cannot be met for this input.
    Unsupported,
    /// The account or key has not so many media minutes left this month, or its queue no place.
    QuotaExceeded,
    /// The account keeps as many bytes as it may, and what the job made does not fit.
    StorageFull,
    /// The output name is taken.
    OutputExists,
    /// The media process died.
    MediaCrashed,
    /// The media process stopped advancing.
    MediaStalled,
    /// The media process ran out of memory or another resource.
    ResourceExhausted,
    /// The job takes longer, or more processor time, than a job of the account may.
    TimeLimitExceeded,
    /// What was made is not what was planned.
    VerificationFailed,
    /// Storage could not be read or written.
    StorageUnavailable,
    /// Workers kept vanishing under it.
    WorkerLost,
    /// Ours.
    Internal,
}

/// Whether another try may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryHint {
    /// The same request may work later.
    Retry,
    /// Change something first.
    NoRetry,
}

impl FailureCode {
    /// Bad input never retries; trouble of ours does.
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
            | Self::OutputExists => RetryHint::NoRetry,
            Self::InputUnreachable
            | Self::MediaCrashed
            | Self::MediaStalled
            | Self::ResourceExhausted
            | Self::VerificationFailed
            | Self::StorageUnavailable
            | Self::WorkerLost
            | Self::Internal => RetryHint::Retry,
        }
    }

    /// Every code.
    pub const ALL: &'static [Self] = &[
        Self::InvalidInput,
        Self::InputNotFound,
        Self::InputForbidden,
        Self::InputUnreachable,
        Self::InputTooLarge,
        Self::Unsupported,
        Self::QuotaExceeded,
        Self::StorageFull,
        Self::OutputExists,
        Self::MediaCrashed,
        Self::MediaStalled,
        Self::ResourceExhausted,
        Self::TimeLimitExceeded,
        Self::VerificationFailed,
        Self::StorageUnavailable,
        Self::WorkerLost,
        Self::Internal,
    ];

    /// The code as written in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidInput => "invalid_input",
            Self::InputNotFound => "input_not_found",
            Self::InputForbidden => "input_forbidden",
            Self::InputUnreachable => "input_unreachable",
            Self::InputTooLarge => "input_too_large",
            Self::Unsupported => "unsupported",
            Self::QuotaExceeded => "quota_exceeded",
            Self::StorageFull => "storage_full",
            Self::OutputExists => "output_exists",
            Self::MediaCrashed => "media_crashed",
            Self::MediaStalled => "media_stalled",
            Self::ResourceExhausted => "resource_exhausted",
            Self::TimeLimitExceeded => "time_limit_exceeded",
            Self::VerificationFailed => "verification_failed",
            Self::StorageUnavailable => "storage_unavailable",
            Self::WorkerLost => "worker_lost",
            Self::Internal => "internal",
        }
    }
}

/// One file that a job made, as measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutputFile {
    /// Relative to the job's output.
    #[serde(deserialize_with = "once_clear")]
    pub name: Personal<String>,
    /// Where it stands, or will.
    pub location: Personal<String>,
    /// Bytes.
    pub size: u64,
    /// Hex digest.
    pub sha256: String,
    /// Seconds, as read back from the file.
    #[serde(default)]
    pub duration: Option<f64>,
    /// As read back from the file.
    #[serde(default)]
    pub streams: Vec<StreamSummary>,
}

/// One stream of an output, as read back from the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StreamSummary {
    /// `video` or `audio`.
    pub kind: String,
    /// FFmpeg's name.
    pub codec: String,
    /// Pixels; video only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Pixels; video only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// Frames per second; video only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fps: Option<f64>,
    /// Audio only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<u32>,
    /// Hertz; audio only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample_rate: Option<u32>,
}
