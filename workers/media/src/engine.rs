//! Runs a media task, or plans it without running it.

use std::time::Duration;

use ffapi_domain::media::{
    AnalyzePlan, DryRun, Effort, JobPlan, MediaRequest, ProbePlan, footprint_of_frames,
};

use crate::{
    MediaError,
    heartbeat::Heartbeat,
    pipeline::{
        context::{TaskContext, primary_facts},
        scan::ScanLimit,
        work::Work,
    },
    protocol::Report,
    tasks::{analyze, convert, passes, probe, stream, thumbnails},
};

/// How long the packets of an input are read for a dry run: a request waits for it.
const MAX_SCAN_OF_DRY_RUN: Duration = Duration::from_secs(2);

/// A dry run: returns the plan that `run` would follow, with its effort.
pub(crate) fn dry_run_plan(request: &MediaRequest, work: &Work<'_>) -> Result<DryRun, MediaError> {
    let heartbeat = Heartbeat::new(work.say);
    let limit = ScanLimit::Time(MAX_SCAN_OF_DRY_RUN);
    let context = TaskContext::new(work, &heartbeat).limited(limit);
    let facts = context.facts()?;
    let primary = primary_facts(&facts)?;
    let pool = work.assignment.pool;
    let dry_run = |plan, effort| DryRun { plan, passes: None, pool, effort };
    Ok(match request {
        MediaRequest::Convert(convert) => {
            let plan = convert::resolve_plan(convert, &facts, work)?;
            let (passes, effort) = (passes::count(&plan), Effort::of_plan(&plan, facts.first()));
            DryRun { passes: Some(passes), ..dry_run(JobPlan::Convert(Box::new(plan)), effort) }
        }
        MediaRequest::Stream(stream) => {
            let plan = stream::resolve_plan(stream, &context, &facts, work)?;
            let effort = Effort::of_stream(&plan, facts.first());
            dry_run(JobPlan::Stream(Box::new(plan)), effort)
        }
        MediaRequest::Thumbnails(thumbnails) => {
            work.check_memory(footprint_of_frames(&facts))?;
            let plan = thumbnails.plan(primary.duration)?;
            let effort = Effort::of_thumbnails(thumbnails, &plan);
            dry_run(JobPlan::Thumbnails(plan), effort)
        }
        MediaRequest::Analyze(analyze) => {
            work.check_memory(footprint_of_frames(&facts))?;
            analyze.fits(primary)?;
            let effort = Effort::of_analysis(analyze, primary);
            let plan = AnalyzePlan { metrics: analyze.metrics.clone() };
            dry_run(JobPlan::Analyze(plan), effort)
        }
        MediaRequest::Probe(_) => dry_run(JobPlan::Probe(ProbePlan {}), Effort::of_probe()),
    })
}

/// Runs a job's media work and verifies its outputs.
pub(crate) fn run(request: &MediaRequest, work: &Work<'_>) -> Result<Report, MediaError> {
    match request {
        MediaRequest::Convert(convert) => convert::convert(convert, work),
        MediaRequest::Probe(_) => probe::probe(work),
        MediaRequest::Analyze(analyze) => analyze::analyze(analyze, work),
        MediaRequest::Thumbnails(thumbnails) => thumbnails::thumbnails(thumbnails, work),
        MediaRequest::Stream(stream) => stream::stream(stream, work),
    }
}
