use serde::{Deserialize, Serialize};

use super::{BatchStatus, Counts};
use crate::{JobId, LeaseId, Personal, job::JobSpec, webhook::Callback};

/// What happened to a batch. Names and fields are the storage format: added to, never changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum BatchEvent {
    /// It was asked for.
    #[serde(rename = "batch.submitted")]
    Submitted {
        /// With all its jobs.
        spec: Box<BatchSpec>,
    },
    /// Somebody called it off.
    #[serde(rename = "batch.cancel_requested")]
    CancelRequested {},
    /// Somebody asked for another try of what did not work.
    #[serde(rename = "batch.retried")]
    Retried {
        /// Which.
        jobs: Vec<JobId>,
        /// Of whose places in the queue each has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lease: Option<LeaseId>,
    },
    /// One of its jobs was tried again after the end.
    #[serde(rename = "batch.reopened")]
    Reopened {},
    /// Every job is over.
    #[serde(rename = "batch.ended")]
    Ended {
        /// 0 the first time; one more for every time it was opened again.
        round: u32,
        /// What that came to.
        status: BatchStatus,
        /// How they ended.
        counts: Counts,
    },
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchSpec {
    /// For a person.
    #[serde(default)]
    pub name: Personal<Option<String>>,
    /// So many of its jobs may run at once.
    pub max_parallel: u32,
    /// Who is told of the batch, beside the tenant's own endpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback: Option<Callback>,
    /// In the order in which they were given.
    pub jobs: Vec<BatchJob>,
}

/// One job of a batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchJob {
    /// The name that it has, or will have.
    pub id: JobId,
    /// What it is.
    pub spec: JobSpec,
}
