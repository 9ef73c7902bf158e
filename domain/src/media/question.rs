//! RPC between gateways and workers about jobs that are not submitted.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Device, DryRun, Hardware, MediaRequest};
use crate::{Tenant, job::FailureCode, location::Location};

/// NATS subject for requests to plan a job.
pub const PLAN: &str = "rpc.plan";

/// Timeout of a plan request.
pub const PLAN_TIMEOUT: Duration = Duration::from_secs(5);

/// NATS subject for requests to probe an upload.
pub const PROBE_UPLOAD: &str = "rpc.look";

/// Timeout of a probe request.
pub const PROBE_UPLOAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Request to probe an upload.
#[derive(Debug, Serialize, Deserialize)]
pub struct ProbeUploadRequest {
    /// The tenant that owns the file.
    pub tenant: Tenant,
    /// The file to probe.
    pub input: Location,
}

/// Response to a probe request.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeUploadResponse {
    /// The facts, as a probe job returns them.
    Is(Value),
    /// Why the file cannot be used.
    IsNot {
        /// The kind of failure.
        code: FailureCode,
        /// Message for people.
        message: String,
    },
}

/// Request to plan a job.
#[derive(Debug, Serialize, Deserialize)]
pub struct PlanRequest {
    /// The tenant that owns the files.
    pub tenant: Tenant,
    /// The request of the job.
    pub request: MediaRequest,
    /// Hardware preference.
    #[serde(default)]
    pub hardware: Option<Hardware>,
    /// The devices of all workers: the worker that responds may not have the preferred one.
    #[serde(default)]
    pub devices: Vec<Device>,
}

/// Response to a plan request.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanResponse {
    /// The plan.
    WouldDo(Box<DryRun>),
    /// Why the job would fail.
    WouldFail {
        /// The kind of failure.
        code: FailureCode,
        /// Message for people.
        message: String,
    },
}
