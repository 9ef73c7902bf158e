use serde::{Deserialize, Serialize};

use super::{Plan, StreamPlan};
use crate::media::{Effort, Metric, Pool, ThumbnailsPlan};

/// The plan of a job of any kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobPlan {
    /// Of a conversion.
    Convert(Box<Plan>),
    /// Of a stream.
    Stream(Box<StreamPlan>),
    /// Of thumbnails.
    Thumbnails(ThumbnailsPlan),
    /// Of an analysis.
    Analyze {
        /// What it measures.
        metrics: Vec<Metric>,
    },
    /// Of a probe, which has nothing to decide.
    Probe {},
}

impl JobPlan {
    /// The kind of job that it is the plan of.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Convert(_) => "convert",
            Self::Stream(_) => "stream",
            Self::Thumbnails(_) => "thumbnails",
            Self::Analyze { .. } => "analyze",
            Self::Probe {} => "probe",
        }
    }
}

/// What a job would do and how much work it would be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DryRun {
    /// What it would do.
    pub plan: JobPlan,
    /// Number of encoding passes over the input, of a conversion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passes: Option<u32>,
    /// The pool that it would run in.
    pub pool: Pool,
    /// How much work it would be.
    pub effort: Effort,
}
