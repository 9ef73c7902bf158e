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
            JobPlan::Analyze(plan) => {
                let metrics = plan.metrics.iter().map(name_of).collect();
                Self::Analyze(AnalyzePlan { metrics })
            }
            JobPlan::Probe(_) => Self::Probe(ProbePlan {}),
        }
    }
}

#[cfg(test)]
mod tests {
    use ffapi_domain::{
        Personal,
        media::{
            AudioFilter, Capabilities, Convert, Overwrite, ThumbnailsPlan, VideoFilter, Window,
            plan,
        },
    };
    use poem_openapi::types::ToJSON;
    use serde_json::json;

    use super::*;

    #[test]
    fn times_in_a_plan_are_in_seconds() {
        let request = Convert {
            input: Personal::Erased,
            output: Personal::Clear("local://a.mp4".parse().unwrap()),
            operations: vec![],
            overwrite: Overwrite::Fail,
        };
        let mut plan = plan(&request, None, &Capabilities::everything()).unwrap();
        let window = Window { start: 1_000_000, end: Some(2_500_000) };
        plan.duration = Some(5_312_000);
        plan.decoded = None;
        plan.video.as_mut().unwrap().filters =
            vec![VideoFilter::Trim(window), VideoFilter::Deinterlace, VideoFilter::Hold(500_000)];
        plan.audio[0].filters =
            vec![AudioFilter::FadeIn(500_000), AudioFilter::FromZero, AudioFilter::Delay(20_000)];
        let shown = PlanBody::from(&JobPlan::Convert(Box::new(plan))).to_json().unwrap();
        assert_eq!((&shown["duration"], &shown["seek"]), (&json!(5.312), &json!(0.0)));
        assert_eq!(shown.get("decoded"), None, "unknown");
        assert_eq!(
            shown["video"]["filters"],
            json!([{ "trim": { "start": 1.0, "end": 2.5 } }, { "deinterlace": true }, { "hold": 0.5 }])
        );
        assert_eq!(
            shown["audio"][0]["filters"],
            json!([{ "fade_in": 0.5 }, { "from_zero": true }, { "delay": 0.02 }])
        );
        let stills =
            ThumbnailsPlan { times: vec![0, 1_000_000], choice: 250_000, columns: 1, rows: 1 };
        let shown = PlanBody::from(&JobPlan::Thumbnails(stills)).to_json().unwrap();
        assert_eq!((&shown["times"], &shown["choice"]), (&json!([0.0, 1.0]), &json!(0.25)));
    }
}
