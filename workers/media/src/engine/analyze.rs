//! Measurements: FFmpeg's own filters look and listen, their findings are read off the frames.

mod compare;
mod findings;
mod observe;
mod packets;

use std::sync::{Arc, Mutex, PoisonError};

use ffapi_domain::media::{Analyze, Effort, MediaFacts, Metric, footprint_of_frames};
use ffmpeg_the_third::frame;
use serde_json::{Map, Value, json};

use self::{
    compare::{comparison, side_by_side},
    findings::{Comparison, each_frame},
    observe::{Shared, watch},
    packets::packets,
};
pub(super) use self::{findings::mean, observe::observe};
use super::{
    TaskContext, Work,
    charge::{self, Due},
    progress::ProgressReporter,
    quality,
};
use crate::{
    MediaError,
    heartbeat::Heartbeat,
    protocol::{ChildMessage, Report},
};

/// Finds out what was asked for; pictures and sound are decoded once.
pub(super) fn analyze(request: &Analyze, work: &Work<'_>) -> Result<Report, MediaError> {
    let heartbeat = Heartbeat::new(work.say);
    let context = TaskContext::new(work, &heartbeat);
    let facts = context.facts()?;
    let own = super::own(&facts)?;
    (work.say)(ChildMessage::Facts(Box::new(own.clone())));
    work.holds(footprint_of_frames(&facts))?;
    request.fits(own).map_err(super::refused)?;
    let effort = Effort::of_analysis(request, own);
    let due = Due { charged: effort.charged, folders: vec![], seek: 0 };
    let (permit, meter) = charge::begin(due, &facts, work)?;
    let context = context.permitted(permit, meter);
    let reporter = ProgressReporter::new(work.say, own.duration, 1);
    reporter.begin(0, "analyzing");
    let mut result = Map::new();
    measure(request, &context, &facts, &reporter, &mut result)?;
    let of_packets = [Metric::Bitrate, Metric::Keyframes];
    if request.metrics.iter().any(|metric| of_packets.contains(metric)) {
        packets(request, work, own, &heartbeat, &mut result)?;
    }
    reporter.tell();
    Ok(Report { files: vec![], result: Some(Value::Object(result)), frames: 0, effort })
}

fn measure(
    request: &Analyze,
    context: &TaskContext<'_>,
    facts: &[MediaFacts],
    reporter: &ProgressReporter<'_>,
    result: &mut Map<String, Value>,
) -> Result<(), MediaError> {
    let mut flow = context.flow(facts)?;
    let own = super::own(facts)?;
    let mut observed =
        observe(&mut flow, own, &request.metrics, context.heartbeat, Some(reporter))?;
    // By FFmpeg's filters of the same names.
    let by_filter = |metric: &Metric| metric.needs_reference() && *metric != Metric::Vmaf;
    let compared: Vec<Metric> = request.metrics.iter().copied().filter(by_filter).collect();
    if !compared.is_empty() {
        let script = comparison(facts, &compared)?;
        let peak = compare::peak(facts)?;
        let watching = compared.iter().map(|metric| {
            observed.add(*metric, Box::new(Comparison::new(*metric, request.per_frame, peak)))
        });
        let watching: Vec<Shared> = watching.collect();
        watch(&mut flow, script, watching, context.heartbeat, Some(reporter))?;
    }
    let scores = Arc::new(Mutex::new(None));
    let vmaf = request.metrics.contains(&Metric::Vmaf);
    if vmaf {
        let beside = side_by_side(&mut flow, facts)?;
        let (scores, heartbeat) = (Arc::clone(&scores), context.heartbeat);
        flow.stage(move || {
            let found = beside.run(heartbeat, |at| reporter.reach(at))?;
            *scores.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
            Ok(())
        });
    }
    if observed.is_empty() && !vmaf {
        return Ok(());
    }
    flow.run(0)?;
    if let Some(scores) = scores.lock().unwrap_or_else(PoisonError::into_inner).take() {
        let mut told = quality::pooled(&scores)?;
        if request.per_frame {
            each_frame(&mut told, scores.iter().map(|score| json!(quality::rounded(*score))))?;
        }
        result.insert(Metric::Vmaf.as_str().to_owned(), told);
    }
    observed.tell(own.duration, result)
}

/// A number that a filter wrote on a frame.
fn number(frame: &frame::Frame, key: &str) -> Option<f64> {
    frame.metadata().get(key).and_then(|text| text.trim().parse().ok())
}
