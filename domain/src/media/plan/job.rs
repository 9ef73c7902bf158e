use serde::{Deserialize, Serialize};

use super::{Plan, StreamPlan};
use crate::media::{Effort, Metric, Pool, ThumbnailsPlan};

/// The plan of a job of any kind.
///
/// In JSON it is the plan itself: the kinds have different fields, and gateways and workers of different
/// versions exchange it while a fleet is upgraded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum JobPlan {
    /// Of a conversion.
    Convert(Box<Plan>),
    /// Of a stream.
    Stream(Box<StreamPlan>),
    /// Of thumbnails.
    Thumbnails(ThumbnailsPlan),
    /// Of an analysis.
    Analyze(AnalyzePlan),
    /// Of a probe.
    Probe(ProbePlan),
}

/// What an analysis does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnalyzePlan {
    /// What it measures.
    pub metrics: Vec<Metric>,
}

/// What a probe does: there is nothing to decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbePlan {}

impl JobPlan {
    /// The kind of job that it is the plan of.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Convert(_) => "convert",
            Self::Stream(_) => "stream",
            Self::Thumbnails(_) => "thumbnails",
            Self::Analyze(_) => "analyze",
            Self::Probe(_) => "probe",
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        Personal,
        media::{Capabilities, Convert, Overwrite},
    };

    fn convert() -> Plan {
        let request = Convert {
            input: Personal::Erased,
            output: Personal::Clear("local://a.mp4".parse().unwrap()),
            operations: vec![],
            overwrite: Overwrite::Fail,
        };
        crate::media::plan(&request, None, &Capabilities::everything()).unwrap()
    }

    #[test]
    fn the_kinds_are_told_apart_by_their_fields() {
        let stream = StreamPlan {
            renditions: vec![],
            audio: vec![],
            captions: vec![],
            segment: 6_000_000,
            duration: None,
            poster: None,
            sprite: None,
            notes: vec![],
        };
        let thumbnails = ThumbnailsPlan { times: vec![0], choice: 0, columns: 1, rows: 1 };
        for plan in [
            JobPlan::Convert(Box::new(convert())),
            JobPlan::Stream(Box::new(stream)),
            JobPlan::Thumbnails(thumbnails),
            JobPlan::Analyze(AnalyzePlan { metrics: vec![Metric::Vmaf] }),
            JobPlan::Probe(ProbePlan {}),
        ] {
            let json = serde_json::to_value(&plan).unwrap();
            assert_eq!(serde_json::from_value::<JobPlan>(json).unwrap(), plan);
            let bytes = rmp_serde::to_vec_named(&plan).unwrap();
            assert_eq!(rmp_serde::from_slice::<JobPlan>(&bytes).unwrap(), plan);
        }
    }

    #[test]
    fn a_plan_that_is_not_understood_is_not_taken_for_another() {
        let mut plan = serde_json::to_value(JobPlan::Convert(Box::new(convert()))).unwrap();
        plan["container"] = json!("a later one");
        assert!(serde_json::from_value::<JobPlan>(plan).is_err());
    }
}
