//! Encoding samples of a film, to know what the whole will take.

use std::sync::{
    Arc, PoisonError,
    atomic::{AtomicU64, Ordering},
    mpsc::sync_channel,
};

use ffapi_domain::media::{MediaFacts, Micros, VideoPlan, Window};

use super::{
    TaskContext,
    convert::{canvas, is_planar},
    encoder,
    filtergraph::VideoGraph,
    frame_format::FrameFormat,
    frame_types::FrameTypePlan,
    quality::every_core,
    quality_meter::QualityMeter,
    track::{EncodedPacket, Track},
};
use crate::MediaError;

/// A film as short as this is its own sample.
const WHOLE: Micros = 10_000_000;

/// How long each sample of a longer one is.
const SAMPLE: Micros = 2_000_000;

/// The samples' places in an input of which `kept` is kept from `start` on: few and short, and
/// spread.
pub(super) fn samples(start: Micros, kept: Option<Micros>) -> Vec<Window> {
    let whole = vec![Window { start, end: Some(start.saturating_add(WHOLE)) }];
    let Some(kept) = kept.filter(|kept| *kept > WHOLE) else { return whole };
    let count = (kept / 20_000_000).clamp(3, 6);
    let place = |number: u64| {
        let middle = kept.saturating_mul(2 * number + 1) / (2 * count);
        let start = start.saturating_add(middle).saturating_sub(SAMPLE / 2);
        Window { start, end: Some(start.saturating_add(SAMPLE)) }
    };
    (0..count).map(place).collect()
}

/// What came of some samples.
#[derive(Debug, Default)]
pub(super) struct Trial {
    /// VMAF of each picture, where they were judged.
    pub(super) scores: Vec<f64>,
    /// Bytes of the coded pictures.
    pub(super) bytes: u64,
    /// How many there were.
    pub(super) pictures: u64,
}

impl Trial {
    fn add(&mut self, other: Self) {
        self.scores.extend(other.scores);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.pictures = self.pictures.saturating_add(other.pictures);
    }
}

/// Encodes the samples as planned, and looks at what became of them if they are `judged`.
pub(super) fn attempt(
    context: &TaskContext<'_>,
    video: &VideoPlan,
    facts: &[MediaFacts],
    samples: &[Window],
    judged: bool,
) -> Result<Trial, MediaError> {
    let mut all = Trial::default();
    for window in samples {
        all.add(sample(context, video, facts, *window, judged)?);
    }
    Ok(all)
}

fn sample(
    context: &TaskContext<'_>,
    video: &VideoPlan,
    facts: &[MediaFacts],
    window: Window,
    judged: bool,
) -> Result<Trial, MediaError> {
    let mut flow = context.flow(facts)?;
    let planar = is_planar(facts, video);
    let look = VideoGraph { plan: video, planar, scratch: context.scratch };
    let mut filtering = flow.filter(look.sample(window), None)?;
    let (time_base, aspect, rate) = filtering.outcome()?;
    let parameters = super::parameters(&flow, video.source)?;
    let mut canvas = canvas(time_base, aspect, rate, video, &parameters, context.scratch);
    canvas.threads = context.threads;
    let encoder = encoder::open_picture(video, canvas)?;
    let shape = FrameFormat::of_plan(video, time_base, aspect, rate)?;
    let depth = if video.pixel_format.contains("10") { 10 } else { 8 };
    let (given, made, judge) = if judged {
        let (evidence, judge) =
            QualityMeter::of(&encoder, shape.clone(), shape, depth, every_core());
        (vec![evidence.given], Some(evidence.made), Some(judge))
    } else {
        (vec![], None, None)
    };
    let sent = Arc::new(AtomicU64::new(0));
    let bytes = Arc::new(AtomicU64::new(0));
    let (coded, packets) = sync_channel::<EncodedPacket>(1);
    let track = Track {
        filtering,
        encoder,
        time_base,
        stream: 0,
        coded: Some(coded),
        picture: true,
        limit: None,
        until: None,
        keys_every: None,
        sent: Arc::clone(&sent),
        seen_by: given,
        cadence: FrameTypePlan::own(false),
    };
    flow.stage(move || track.run(context.heartbeat, None).map(|_| ()));
    let weighed = Arc::clone(&bytes);
    flow.stage(move || {
        for coded in packets {
            weighed.fetch_add(coded.packet.size() as u64, Ordering::Relaxed);
            if made.as_ref().is_some_and(|made| made.send(coded).is_err()) {
                break;
            }
        }
        Ok(())
    });
    let verdict = judge.map(|judge| judge.sit(&mut flow, context.heartbeat)).transpose()?;
    flow.run(window.start)?;
    let scores = verdict.map(|verdict| {
        std::mem::take(&mut *verdict.lock().unwrap_or_else(PoisonError::into_inner))
    });
    Ok(Trial {
        scores: scores.unwrap_or_default(),
        bytes: bytes.load(Ordering::Relaxed),
        pictures: sent.load(Ordering::Relaxed),
    })
}
