//! Metrics of a single input: FFmpeg's filters add their results to the metadata of the frames.

use std::sync::{Arc, Mutex, PoisonError};

use ffapi_domain::media::{MediaFacts, Metric, Micros, Source};
use ffmpeg_the_third::Rescale;
use serde_json::{Map, Value};

use super::findings::{Complexity, Findings, Intervals, Loudness, Scenes};
use crate::{
    MediaError,
    heartbeat::Heartbeat,
    pipeline::{filtergraph::GraphInput, flow::Flow, progress::ProgressReporter},
    units::{MICROS, seconds},
};

/// The findings that are collected while a flow runs.
#[derive(Default)]
pub(crate) struct Observed(Vec<(Metric, SharedFindings)>);

/// Adds observers to the flow for those metrics of `requested` that need no reference.
pub(crate) fn observe<'env>(
    flow: &mut Flow<'env>,
    primary: &MediaFacts,
    requested: &[Metric],
    heartbeat: &'env Heartbeat<'env>,
    reporter: Option<&'env ProgressReporter<'env>>,
) -> Result<Observed, MediaError> {
    let mut observed = Observed::default();
    for is_video in [true, false] {
        let filters = single_input_filters(requested, is_video);
        let source =
            if is_video { primary.video().map(|v| v.0) } else { primary.audio().map(|a| a.0) };
        let Some(source) = source.filter(|_| !filters.is_empty()) else { continue };
        let source = Source { input: 0, stream: source.index };
        let mut chain: Vec<&str> = filters.iter().map(|(_, filter)| *filter).collect();
        if is_video {
            chain.insert(0, "format=yuv420p");
        }
        let filtergraph =
            (format!("[in0]{}[out]", chain.join(",")), vec![GraphInput::Stream(source)]);
        let collectors = filters.iter().map(|(metric, _)| {
            let findings: Box<dyn Findings> = match metric {
                Metric::Scenes => Box::<Scenes>::default(),
                Metric::Black => Box::new(Intervals::new("lavfi.black")),
                Metric::Silence => Box::new(Intervals::new("lavfi.silence")),
                Metric::Loudness => Box::<Loudness>::default(),
                _ => Box::<Complexity>::default(),
            };
            observed.add(*metric, findings)
        });
        let collectors: Vec<SharedFindings> = collectors.collect();
        add_observer(flow, filtergraph, collectors, heartbeat, reporter)?;
    }
    Ok(observed)
}

impl Observed {
    pub(super) fn add(&mut self, metric: Metric, findings: Box<dyn Findings>) -> SharedFindings {
        let shared: SharedFindings = Arc::new(Mutex::new(findings));
        self.0.push((metric, Arc::clone(&shared)));
        shared
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the results to `result`, by the names of their metrics; `duration` is that of the
    /// input.
    pub(crate) fn insert_results(
        self,
        duration: Option<Micros>,
        result: &mut Map<String, Value>,
    ) -> Result<(), MediaError> {
        for (metric, findings) in self.0 {
            let findings = findings.lock().unwrap_or_else(PoisonError::into_inner);
            result.insert(metric.as_str().to_owned(), findings.result(duration.map(seconds))?);
        }
        Ok(())
    }
}

/// The filters of the metrics that need no reference, for video or for audio.
fn single_input_filters(metrics: &[Metric], is_video: bool) -> Vec<(Metric, &'static str)> {
    let filter = |metric: &Metric| match metric {
        Metric::Scenes => Some("scdet=threshold=10"),
        Metric::Black => Some("blackdetect=d=0.1:pix_th=0.10"),
        Metric::Complexity => Some("siti"),
        Metric::Loudness => Some("ebur128=metadata=1:peak=true"),
        Metric::Silence => Some("silencedetect=n=-60dB:d=0.5"),
        Metric::Vmaf | Metric::Psnr | Metric::Ssim | Metric::Bitrate | Metric::Keyframes => None,
    };
    let selected = metrics.iter().filter(|metric| metric.needs_video() == is_video);
    selected.filter_map(|metric| Some((*metric, filter(metric)?))).collect()
}

pub(super) type SharedFindings = Arc<Mutex<Box<dyn Findings>>>;

/// Adds a stage that runs a filter graph and passes its frames to `collectors`.
pub(super) fn add_observer<'env>(
    flow: &mut Flow<'env>,
    filtergraph: (String, Vec<GraphInput>),
    collectors: Vec<SharedFindings>,
    heartbeat: &'env Heartbeat<'env>,
    reporter: Option<&'env ProgressReporter<'env>>,
) -> Result<(), MediaError> {
    let mut filtering = flow.filter(filtergraph, None)?;
    let time_base = filtering.output_timing()?.time_base;
    flow.add_stage(move || {
        while let Some(frame) = filtering.next(heartbeat)? {
            let at =
                u64::try_from(frame.pts().unwrap_or(0).rescale(time_base, MICROS)).unwrap_or(0);
            if let Some(reporter) = reporter {
                reporter.frame();
                reporter.set_position(at);
            }
            for findings in &collectors {
                let mut findings = findings.lock().unwrap_or_else(PoisonError::into_inner);
                findings.record(&frame, seconds(at));
            }
        }
        Ok(())
    });
    Ok(())
}
