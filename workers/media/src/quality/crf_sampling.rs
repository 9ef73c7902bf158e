//! Encodes samples of a video, to estimate the bitrate and quality of the whole.

use std::sync::{
    Arc, PoisonError,
    atomic::{AtomicU64, Ordering},
    mpsc::sync_channel,
};

use ffapi_domain::media::{MediaFacts, Micros, VideoPlan, Window};

use super::{meter::QualityMeter, vmaf::core_count};
use crate::{
    MediaError,
    encoders::{self, EncoderSettings, track::Track},
    pipeline::{context::TaskContext, encoded_packet::EncodedPacket, filtergraph::VideoGraph},
};

/// Up to this duration, the whole video is the sample.
const MAX_WHOLE_DURATION: Micros = 10_000_000;

/// The duration of each sample of a longer video.
const SAMPLE_DURATION: Micros = 2_000_000;

/// The positions of the samples in an input of which `kept` microseconds are used from `start` on:
/// a few short parts, evenly spread.
pub(crate) fn sample_windows(start: Micros, kept: Option<Micros>) -> Vec<Window> {
    let whole = vec![Window { start, end: Some(start.saturating_add(MAX_WHOLE_DURATION)) }];
    let Some(kept) = kept.filter(|kept| *kept > MAX_WHOLE_DURATION) else { return whole };
    let count = (kept / 20_000_000).clamp(3, 6);
    let window = |number: u64| {
        let middle = kept.saturating_mul(2 * number + 1) / (2 * count);
        let start = start.saturating_add(middle).saturating_sub(SAMPLE_DURATION / 2);
        Window { start, end: Some(start.saturating_add(SAMPLE_DURATION)) }
    };
    (0..count).map(window).collect()
}

/// The totals of some encoded samples.
#[derive(Debug, Default)]
pub(crate) struct SampleStats {
    /// VMAF of each frame; empty if it was not measured.
    pub(crate) scores: Vec<f64>,
    /// Bytes of the encoded frames.
    pub(crate) bytes: u64,
    /// Number of frames.
    pub(crate) frames: u64,
}

impl SampleStats {
    fn add(&mut self, other: Self) {
        self.scores.extend(other.scores);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.frames = self.frames.saturating_add(other.frames);
    }
}

/// What is measured of encoded samples, besides their bitrate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Measured {
    Bitrate,
    BitrateAndVmaf,
}

/// Encodes the samples as planned, and measures them.
pub(crate) fn encode_samples(
    context: &TaskContext<'_>,
    video: &VideoPlan,
    facts: &[MediaFacts],
    samples: &[Window],
    measured: Measured,
) -> Result<SampleStats, MediaError> {
    let mut total = SampleStats::default();
    for window in samples {
        total.add(encode_sample(context, video, facts, *window, measured)?);
    }
    Ok(total)
}

fn encode_sample(
    context: &TaskContext<'_>,
    video: &VideoPlan,
    facts: &[MediaFacts],
    window: Window,
    measured: Measured,
) -> Result<SampleStats, MediaError> {
    let mut flow = context.flow(facts)?;
    let graph = VideoGraph::of(video, facts, context.scratch);
    let mut filtering = flow.filter(graph.sample(window), None)?;
    let timing = filtering.output_timing()?;
    let parameters = flow.parameters(video.source)?;
    let mut settings = EncoderSettings::new(timing, video, &parameters, context.scratch);
    settings.threads = context.threads;
    let encoder = encoders::open_video(video, settings)?;
    let shape = filtering.video_format()?;
    let depth = if video.pixel_format.contains("10") { 10 } else { 8 };
    let (observers, to_meter, meter) = if measured == Measured::BitrateAndVmaf {
        let (inputs, meter) = QualityMeter::of(&encoder, shape.clone(), shape, depth, core_count());
        (vec![inputs.original], Some(inputs.encoded), Some(meter))
    } else {
        (vec![], None, None)
    };
    let bytes = Arc::new(AtomicU64::new(0));
    let (encoded, packets) = sync_channel::<EncodedPacket>(1);
    let track = Track {
        encoded: Some(encoded),
        observers,
        ..Track::video(filtering, encoder, timing.time_base)
    };
    let sent = Arc::clone(&track.sent);
    flow.add_stage(move || track.run(context.heartbeat, None).map(|_| ()));
    let counter = Arc::clone(&bytes);
    flow.add_stage(move || {
        for packet in packets {
            counter.fetch_add(packet.packet.size() as u64, Ordering::Relaxed);
            if to_meter.as_ref().is_some_and(|meter| meter.send(packet).is_err()) {
                break;
            }
        }
        Ok(())
    });
    let scores = meter.map(|meter| meter.attach(&mut flow, context.heartbeat)).transpose()?;
    flow.run(window)?;
    let scores = scores
        .map(|scores| std::mem::take(&mut *scores.lock().unwrap_or_else(PoisonError::into_inner)));
    Ok(SampleStats {
        scores: scores.unwrap_or_default(),
        bytes: bytes.load(Ordering::Relaxed),
        frames: sent.load(Ordering::Relaxed),
    })
}
