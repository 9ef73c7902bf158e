//! Measurements: FFmpeg's filters analyze the frames, and their results are read from frame
//! metadata.

mod compare;
mod findings;
mod observe;
mod packets;

use std::sync::{Arc, Mutex, PoisonError};

use ffapi_domain::media::{Analyze, Effort, MediaFacts, Metric, Window, footprint_of_frames};
use serde_json::{Map, Value, json};

pub(crate) use self::observe::observe;
use self::{
    compare::{comparison, side_by_side},
    findings::{Comparison, add_per_frame},
    observe::{SharedFindings, add_observer},
    packets::packets,
};
use crate::{
    MediaError,
    heartbeat::Heartbeat,
    pipeline::{
        charge::{self, TaskCharge},
        context::TaskContext,
        progress::ProgressReporter,
        work::Work,
    },
    protocol::{ChildMessage, Report},
    quality::vmaf,
    statistics::rounded,
};

/// Measures the requested metrics; video and audio are decoded once.
pub(crate) fn analyze(request: &Analyze, work: &Work<'_>) -> Result<Report, MediaError> {
    let heartbeat = Heartbeat::new(work.say);
    let context = TaskContext::new(work, &heartbeat);
    let facts = context.facts()?;
    let primary = crate::pipeline::context::primary_facts(&facts)?;
    (work.say)(ChildMessage::Facts(Box::new(primary.clone())));
    work.check_memory(footprint_of_frames(&facts))?;
    request.fits(primary)?;
    let effort = Effort::of_analysis(request, primary);
    let task =
        TaskCharge { charged: effort.charged, is_limit: false, bytes: 0, folders: vec![], seek: 0 };
    let (permit, meter) = charge::begin(task, &facts, work)?;
    let context = context.permitted(permit, meter);
    let reporter = ProgressReporter::new(work.say, primary.duration, 1);
    reporter.begin_pass(0, "analyzing");
    let mut result = Map::new();
    measure(request, &context, &facts, &reporter, &mut result)?;
    let packet_metrics = [Metric::Bitrate, Metric::Keyframes];
    if request.metrics.iter().any(|metric| packet_metrics.contains(metric)) {
        packets(request, work, primary, &heartbeat, &mut result)?;
    }
    reporter.report();
    Ok(Report { files: vec![], result: Some(Value::Object(result)), frames: 0, effort, plan: None })
}

fn measure(
    request: &Analyze,
    context: &TaskContext<'_>,
    facts: &[MediaFacts],
    reporter: &ProgressReporter<'_>,
    result: &mut Map<String, Value>,
) -> Result<(), MediaError> {
    let mut flow = context.flow(facts)?;
    let primary = crate::pipeline::context::primary_facts(facts)?;
    let mut observed =
        observe(&mut flow, primary, &request.metrics, context.heartbeat, Some(reporter))?;
    // Measured by FFmpeg's filters of the same names.
    let by_filter = |metric: &Metric| metric.needs_reference() && *metric != Metric::Vmaf;
    let compared: Vec<Metric> = request.metrics.iter().copied().filter(by_filter).collect();
    if !compared.is_empty() {
        let filtergraph = comparison(facts, &compared)?;
        let peak = compare::peak(facts)?;
        let collectors = compared.iter().map(|metric| {
            observed.add(*metric, Box::new(Comparison::new(*metric, request.per_frame, peak)))
        });
        let collectors: Vec<SharedFindings> = collectors.collect();
        add_observer(&mut flow, filtergraph, collectors, context.heartbeat, Some(reporter))?;
    }
    let scores = Arc::new(Mutex::new(None));
    let vmaf = request.metrics.contains(&Metric::Vmaf);
    if vmaf {
        let comparison = side_by_side(&mut flow, facts)?;
        let (scores, heartbeat) = (Arc::clone(&scores), context.heartbeat);
        flow.add_stage(move || {
            let result = comparison.run(heartbeat, |at| reporter.set_position(at))?;
            *scores.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
            Ok(())
        });
    }
    if observed.is_empty() && !vmaf {
        return Ok(());
    }
    flow.run(Window::WHOLE)?;
    if let Some(scores) = scores.lock().unwrap_or_else(PoisonError::into_inner).take() {
        let mut report = vmaf::pooled(&scores)?;
        if request.per_frame {
            add_per_frame(&mut report, scores.iter().map(|score| json!(rounded(*score))))?;
        }
        result.insert(Metric::Vmaf.as_str().to_owned(), report);
    }
    observed.insert_results(primary.duration, result)
}
