//! Metrics that look at one film alone: FFmpeg's filters write what they find on the frames.

use std::sync::{Arc, Mutex, PoisonError};

use ffapi_domain::media::{MediaFacts, Metric, Micros, Source};
use ffmpeg_the_third::Rescale;
use serde_json::{Map, Value};

use super::findings::{Complexity, Findings, Intervals, Loudness, Scenes};
use crate::{
    MediaError,
    engine::{MICROS, convert::seconds, filtergraph::Fed, flow::Flow, progress::ProgressReporter},
    heartbeat::Heartbeat,
};

/// What is being found out while a flow runs.
#[derive(Default)]
pub(in crate::engine) struct Observed(Vec<(Metric, Shared)>);

/// Lets the metrics of `wanted` that need no other film see the input's frames as they pass.
pub(in crate::engine) fn observe<'env>(
    flow: &mut Flow<'env>,
    own: &MediaFacts,
    wanted: &[Metric],
    heartbeat: &'env Heartbeat<'env>,
    reporter: Option<&'env ProgressReporter<'env>>,
) -> Result<Observed, MediaError> {
    let mut observed = Observed::default();
    for picture in [true, false] {
        let filters = alone(wanted, picture);
        let source = if picture { own.video().map(|v| v.0) } else { own.audio().map(|a| a.0) };
        let Some(source) = source.filter(|_| !filters.is_empty()) else { continue };
        let source = Source { input: 0, stream: source.index };
        let mut chain: Vec<&str> = filters.iter().map(|(_, filter)| *filter).collect();
        if picture {
            chain.insert(0, "format=yuv420p");
        }
        let script = (format!("[in0]{}[out]", chain.join(",")), vec![Fed::Stream(source)]);
        let watching = filters.iter().map(|(metric, _)| {
            let findings: Box<dyn Findings> = match metric {
                Metric::Scenes => Box::<Scenes>::default(),
                Metric::Black => Box::new(Intervals::new("lavfi.black")),
                Metric::Silence => Box::new(Intervals::new("lavfi.silence")),
                Metric::Loudness => Box::<Loudness>::default(),
                _ => Box::<Complexity>::default(),
            };
            observed.add(*metric, findings)
        });
        let watching: Vec<Shared> = watching.collect();
        watch(flow, script, watching, heartbeat, reporter)?;
    }
    Ok(observed)
}

impl Observed {
    pub(super) fn add(&mut self, metric: Metric, findings: Box<dyn Findings>) -> Shared {
        let shared: Shared = Arc::new(Mutex::new(findings));
        self.0.push((metric, Arc::clone(&shared)));
        shared
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The findings of a film that lasts `duration`, by their metrics' names.
    pub(in crate::engine) fn tell(
        self,
        duration: Option<Micros>,
        result: &mut Map<String, Value>,
    ) -> Result<(), MediaError> {
        for (metric, findings) in self.0 {
            let findings = findings.lock().unwrap_or_else(PoisonError::into_inner);
            result.insert(metric.as_str().to_owned(), findings.tell(duration.map(seconds))?);
        }
        Ok(())
    }
}

/// The filters of the metrics that look at the input alone.
fn alone(metrics: &[Metric], picture: bool) -> Vec<(Metric, &'static str)> {
    let filter = |metric: &Metric| match metric {
        Metric::Scenes => Some("scdet=threshold=10"),
        Metric::Black => Some("blackdetect=d=0.1:pix_th=0.10"),
        Metric::Complexity => Some("siti"),
        Metric::Loudness => Some("ebur128=metadata=1:peak=true"),
        Metric::Silence => Some("silencedetect=n=-60dB:d=0.5"),
        Metric::Vmaf | Metric::Psnr | Metric::Ssim | Metric::Bitrate | Metric::Keyframes => None,
    };
    let wanted = metrics.iter().filter(|metric| metric.of_picture() == picture);
    wanted.filter_map(|metric| Some((*metric, filter(metric)?))).collect()
}

pub(super) type Shared = Arc<Mutex<Box<dyn Findings>>>;

/// Puts a graph into the flow whose frames are seen by `watching`.
pub(super) fn watch<'env>(
    flow: &mut Flow<'env>,
    script: (String, Vec<Fed>),
    watching: Vec<Shared>,
    heartbeat: &'env Heartbeat<'env>,
    reporter: Option<&'env ProgressReporter<'env>>,
) -> Result<(), MediaError> {
    let mut filtering = flow.filter(script, None)?;
    let (time_base, ..) = filtering.outcome()?;
    flow.stage(move || {
        while let Some(frame) = filtering.next(heartbeat)? {
            let at =
                u64::try_from(frame.pts().unwrap_or(0).rescale(time_base, MICROS)).unwrap_or(0);
            if let Some(reporter) = reporter {
                reporter.frame();
                reporter.reach(at);
            }
            for findings in &watching {
                let mut findings = findings.lock().unwrap_or_else(PoisonError::into_inner);
                findings.see(&frame, seconds(at));
            }
        }
        Ok(())
    });
    Ok(())
}
