mod output;
mod texts;

use ffapi_domain::media::{
    Convert, Effort, JobPlan, MediaFacts, Plan, assign_pool, footprint_of_plan,
};

use self::{
    output::encode,
    texts::{sidecars, write_texts},
};
use super::passes;
use crate::{
    MediaError,
    heartbeat::Heartbeat,
    pipeline::{
        charge::{self, TaskCharge},
        context::TaskContext,
        progress::ProgressReporter,
        work::Work,
    },
    protocol::{ChildMessage, PoolAssignment, Report},
    quality::target::QualityFound,
    verify,
};

/// Converts the inputs to one output and verifies it.
pub(crate) fn convert(request: &Convert, work: &Work<'_>) -> Result<Report, MediaError> {
    let say = work.say;
    let heartbeat = Heartbeat::new(say);
    let context = TaskContext::new(work, &heartbeat);
    let facts = context.facts()?;
    if let Some(primary) = facts.first() {
        say(ChildMessage::Facts(Box::new(primary.clone())));
    }
    let mut plan = resolve_plan(request, &facts, work)?;
    let effort = Effort::of_plan(&plan, facts.first());
    let task = TaskCharge {
        charged: effort.charged,
        is_limit: facts.first().is_none_or(|primary| primary.duration.is_none()),
        bytes: effort.estimate(None).bytes,
        folders: vec![],
        seek: plan.seek,
    };
    let (permit, meter) = charge::begin(task, &facts, work)?;
    let context = context.permitted(permit, meter);
    let reporter = ProgressReporter::new(say, plan.duration, passes::count(&plan));
    plan.notes.extend(write_texts(&context, &plan)?);
    let results = passes::run(&context, &plan, &facts, &reporter)?;
    let quality = results.quality.clone();
    if let (Some(found), Some(video)) = (&quality, &mut plan.video) {
        video.quality.crf = Some(found.crf);
    }
    let expected = encode(&context, &plan, &facts, results, work.output, &reporter)?;
    reporter.stage("verifying");
    let mut files = verify::verify(work.output, &plan, &expected)?;
    files.extend(sidecars(&context, &plan, work.output)?);
    Ok(Report {
        files,
        result: result(&plan.notes, quality, work),
        frames: expected.frames,
        effort,
        plan: Some(JobPlan::Convert(Box::new(plan))),
    })
}

/// Resolves the plan of a request for these inputs, and assigns it to a device.
pub(crate) fn resolve_plan(
    request: &Convert,
    facts: &[MediaFacts],
    work: &Work<'_>,
) -> Result<Plan, MediaError> {
    let plan = ffapi_domain::media::plan(request, Some(facts), work.capabilities);
    let mut plan = plan?;
    if let Some(video) = &mut plan.video {
        let devices = &work.capabilities.devices;
        let PoolAssignment { hardware, pool, .. } = work.assignment;
        assign_pool(video, hardware, pool, devices, &mut plan.notes)?;
    }
    work.check_memory(footprint_of_plan(&plan, facts))?;
    Ok(plan)
}

/// The result of the job, in addition to its files.
fn result(
    notes: &[String],
    quality: Option<QualityFound>,
    work: &Work<'_>,
) -> Option<serde_json::Value> {
    let mut result = work.log_notes(notes);
    if let Some(found) = quality {
        let result = result.get_or_insert_with(|| serde_json::json!({}));
        if let Some(fields) = result.as_object_mut() {
            fields.insert("quality".to_owned(), found.report);
        }
    }
    result
}
