//! What gateways and workers say to each other about a job that does not exist.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Device, Hardware, MediaRequest};
use crate::{Tenant, job::FailureCode, location::Location};

/// Where workers are asked what a job would do.
pub const PLAN: &str = "rpc.plan";

/// How long whoever asks that waits for an answer.
pub const PLAN_TIMEOUT: Duration = Duration::from_secs(5);

/// Where workers are asked what an upload is.
pub const LOOK: &str = "rpc.look";

/// How long whoever asks that waits for an answer.
pub const LOOK_TIMEOUT: Duration = Duration::from_secs(10);

/// What is asked.
#[derive(Debug, Serialize, Deserialize)]
pub struct LookQuestion {
    /// Whose.
    pub tenant: Tenant,
    /// Which file.
    pub input: Location,
}

/// What is answered.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LookAnswer {
    /// As a probe tells it.
    Is(Value),
    /// Why nothing can be made of it.
    IsNot {
        /// The kind of failure.
        code: FailureCode,
        /// In words.
        message: String,
    },
}

/// What is asked.
#[derive(Debug, Serialize, Deserialize)]
pub struct PlanQuestion {
    /// Whose files are meant.
    pub tenant: Tenant,
    /// What the job would be.
    pub request: MediaRequest,
    /// What it would like to run on.
    #[serde(default)]
    pub hardware: Option<Hardware>,
    /// The hardware of all workers: who answers need not be who has it.
    #[serde(default)]
    pub devices: Vec<Device>,
}

/// What is answered.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanAnswer {
    /// What it would do.
    WouldDo(Value),
    /// Why it would fail.
    WouldFail {
        /// The kind of failure.
        code: FailureCode,
        /// In words.
        message: String,
    },
}
