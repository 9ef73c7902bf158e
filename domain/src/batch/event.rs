use serde::{Deserialize, Serialize};

use super::{BatchStatus, Counts};
use crate::{JobId, LeaseId, Personal, job::JobSpec, webhook::Callback};

/// What happened to a batch. Names and fields are the storage format: added to, never changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum BatchEvent {
    /// It was submitted.
    #[serde(rename = "batch.submitted")]
    Submitted {
        /// Its specification, including all jobs.
        spec: Box<BatchSpec>,
    },
    /// Its cancellation was requested.
    #[serde(rename = "batch.cancel_requested")]
    CancelRequested {},
    /// A retry of jobs that failed or were cancelled was requested.
    #[serde(rename = "batch.retried")]
    Retried {
        /// The jobs to retry.
        jobs: Vec<JobId>,
        /// The lease whose queue slots these jobs spend.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lease: Option<LeaseId>,
    },
    /// One of its jobs was retried after its end.
    #[serde(rename = "batch.reopened")]
    Reopened {},
    /// Every job has ended.
    #[serde(rename = "batch.ended")]
    Ended {
        /// 0 for the first round; one more each time it was reopened.
        round: u32,
        /// The resulting status.
        status: BatchStatus,
        /// How the jobs ended.
        counts: Counts,
    },
}

/// The specification of a batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchSpec {
    /// Display name.
    #[serde(default)]
    pub name: Personal<Option<String>>,
    /// Maximum number of its jobs that run at once.
    pub max_parallel: u32,
    /// Endpoint that the batch's events are sent to, in addition to the tenant's webhooks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback: Option<Callback>,
    /// In submission order.
    pub jobs: Vec<BatchJob>,
}

/// One job of a batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchJob {
    /// The job's id, which may be assigned before the job is created.
    pub id: JobId,
    /// The job's specification.
    pub spec: JobSpec,
}
