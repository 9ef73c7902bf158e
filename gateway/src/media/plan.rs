//! Plans as they are shown: with times in seconds.

mod audio;
mod convert;
mod filter;
mod parts;
mod stills;
mod stream;
mod video;

use ffapi_domain::media::JobPlan;
use poem_openapi::{Object, Union};

use self::{convert::ConvertPlan, stills::ThumbnailsPlan, stream::StreamPlan};
use super::value::name_of;

/// What a job does: what its request leaves open is decided.
#[derive(Debug, Union)]
#[oai(rename = "Plan", one_of)]
pub(crate) enum PlanBody {
    /// Of a `convert` job.
    Convert(Box<ConvertPlan>),
    /// Of a `stream` job.
    Stream(Box<StreamPlan>),
    /// Of a `thumbnails` job.
    Thumbnails(ThumbnailsPlan),
    /// Of an `analyze` job.
    Analyze(AnalyzePlan),
    /// Of a `probe` job.
    Probe(ProbePlan),
}

/// The plan of an `analyze` job.
#[derive(Debug, Object)]
pub(crate) struct AnalyzePlan {
    /// What is measured.
    metrics: Vec<String>,
}

/// The plan of a `probe` job: nothing is decided.
#[derive(Debug, Object)]
pub(crate) struct ProbePlan {}

impl From<&JobPlan> for PlanBody {
    fn from(plan: &JobPlan) -> Self {
        match plan {
            JobPlan::Convert(plan) => Self::Convert(Box::new(plan.as_ref().into())),
            JobPlan::Stream(plan) => Self::Stream(Box::new(plan.as_ref().into())),
            JobPlan::Thumbnails(plan) => Self::Thumbnails(plan.into()),
            JobPlan::Analyze { metrics } => {
                let metrics = metrics.iter().map(name_of).collect();
                Self::Analyze(AnalyzePlan { metrics })
            }
            JobPlan::Probe {} => Self::Probe(ProbePlan {}),
        }
    }
}
