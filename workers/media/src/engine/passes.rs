//! Passes that only look and listen before anything is encoded.

use std::{
    ffi::CString,
    path::Path,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
};

use ffapi_domain::media::{
    AudioFilter, AudioPlan, MediaFacts, Plan, VideoCodec, VideoFilter, VideoPlan,
};
use ffmpeg_the_third::{Rescale, frame};

use super::{
    MICROS, TaskContext,
    convert::{canvas, is_planar},
    encoder,
    filtergraph::{AudioGraph, Gain, VideoGraph, motion_file},
    filtering::Filtering,
    frame_channel::StaticFrame,
    frame_format::FrameFormat,
    frame_types::FrameTypePlan,
    progress::ProgressReporter,
    target::{self, Found},
    track::Track,
};
use crate::{
    MediaError,
    ffi::{self, EncoderPass},
};

/// What the passes found out.
#[derive(Default)]
pub(super) struct Findings {
    /// One for each sound of the plan.
    pub(super) gains: Vec<Option<Gain>>,
    pub(super) palette: Option<StaticFrame>,
    pub(super) statistics: Option<CString>,
    /// The quality that reaches its target.
    pub(super) quality: Option<Found>,
}

/// How many passes there will be, the encoding one included.
pub(super) fn count(plan: &Plan) -> u32 {
    let video = plan.video.as_ref();
    let looks = [
        video.is_some_and(|video| motion_at(video).is_some()),
        video.is_some_and(|video| video.codec == VideoCodec::Gif),
        video.is_some_and(|video| video.quality.two_pass),
        video.is_some_and(|video| video.quality.target_vmaf.is_some()),
    ];
    let looks = looks.into_iter().map(u32::from).sum::<u32>();
    let loud = plan.audio.iter().filter(|audio| loudness_at(audio).is_some()).count();
    looks.saturating_add(u32::try_from(loud).unwrap_or(0)).saturating_add(1)
}

fn motion_at(video: &VideoPlan) -> Option<usize> {
    video.filters.iter().position(|filter| matches!(filter, VideoFilter::Stabilize(_)))
}

fn loudness_at(audio: &AudioPlan) -> Option<(usize, f64)> {
    audio.filters.iter().enumerate().find_map(|(place, filter)| match filter {
        AudioFilter::Loudness(target) => Some((place, *target)),
        _ => None,
    })
}

/// Does what the plan needs to know before it is encoded.
pub(super) fn run(
    context: &TaskContext<'_>,
    plan: &Plan,
    facts: &[MediaFacts],
    reporter: &ProgressReporter<'_>,
) -> Result<Findings, MediaError> {
    let mut findings = Findings::default();
    let mut number = 0;
    let mut next = |stage| {
        reporter.begin(number, stage);
        number += 1;
    };
    for audio in &plan.audio {
        let gain = match loudness_at(audio) {
            Some((place, target)) => {
                next("measuring loudness");
                Some(loudness(context, plan, audio, facts, place, target, reporter)?)
            }
            None => None,
        };
        findings.gains.push(gain.flatten());
    }
    if let Some(video) = &plan.video {
        let look =
            VideoGraph { plan: video, planar: is_planar(facts, video), scratch: context.scratch };
        if let Some(place) = motion_at(video) {
            next("following the camera");
            let detect = format!(
                "vidstabdetect=result={}:shakiness=8:accuracy=15",
                motion_file(context.scratch).display()
            );
            watch(context, plan, facts, look.look(place, &detect), reporter, |_, _| {})?;
        }
        if video.codec == VideoCodec::Gif {
            next("choosing colours");
            findings.palette = Some(palette(context, plan, facts, &look, reporter)?);
        }
        if let Some(target) = video.quality.target_vmaf {
            next("searching for the quality");
            findings.quality = Some(target::search(context, plan, video, facts, target, reporter)?);
        }
        if video.quality.two_pass {
            next("looking ahead");
            findings.statistics = statistics(context, plan, video, facts, &look, reporter)?;
        }
    }
    reporter.begin(number, "encoding");
    Ok(findings)
}

type Script = (String, Vec<super::filtergraph::Fed>);

/// Runs a graph whose frames are only looked at.
fn watch(
    context: &TaskContext<'_>,
    plan: &Plan,
    facts: &[MediaFacts],
    script: Script,
    reporter: &ProgressReporter<'_>,
    mut see: impl FnMut(frame::Frame, &Filtering<'_>) + Send,
) -> Result<(), MediaError> {
    let mut flow = context.flow(facts)?;
    let mut filtering = flow.filter(script, None)?;
    let (time_base, ..) = filtering.outcome()?;
    flow.stage(move || {
        while let Some(frame) = filtering.next(context.heartbeat)? {
            let at = frame.pts().unwrap_or(0).rescale(time_base, MICROS);
            reporter.reach(u64::try_from(at).unwrap_or(0));
            see(frame, &filtering);
        }
        Ok(())
    });
    flow.run(plan.seek)
}

/// What brings a sound to its target. A sound that must be held down at its peaks is measured once
/// more that way, since holding down makes it softer.
fn loudness(
    context: &TaskContext<'_>,
    plan: &Plan,
    audio: &AudioPlan,
    facts: &[MediaFacts],
    place: usize,
    target: f64,
    reporter: &ProgressReporter<'_>,
) -> Result<Option<Gain>, MediaError> {
    const SILENT: f64 = -69.0;
    /// Full scale but for a decibel, which coding may add.
    const CEILING: f64 = -1.0;
    let measure = |gain: Option<Gain>, count: usize| {
        let mix = AudioGraph { plan: audio, sample_format: "fltp", gain };
        measured(context, plan, facts, mix.listen(count, "ebur128=metadata=1:peak=true"), reporter)
    };
    let Some(found) = measure(None, place)?.filter(|found| found.integrated > SILENT) else {
        return Ok(None);
    };
    let mut by = target - found.integrated;
    if found.true_peak + by <= CEILING {
        return Ok(Some(Gain { by, limited: false }));
    }
    let mut before: Option<(f64, f64)> = None;
    for _ in 0..6 {
        let gain = Gain { by, limited: true };
        let Some(heard) = measure(Some(gain), place.saturating_add(1))? else { break };
        let off = target - heard.integrated;
        if off.abs() < 0.1 {
            break;
        }
        // The more is held down, the less another decibel adds: follow the slope.
        let slope = before.map_or(1.0, |(by_then, heard_then)| {
            ((heard.integrated - heard_then) / (by - by_then)).clamp(0.15, 1.0)
        });
        before = Some((by, heard.integrated));
        by += off / slope;
    }
    Ok(Some(Gain { by, limited: true }))
}

/// EBU R128's figures.
#[derive(Debug, Clone, Copy)]
struct Loudness {
    integrated: f64,
    /// Decibels below full scale.
    true_peak: f64,
}

fn measured(
    context: &TaskContext<'_>,
    plan: &Plan,
    facts: &[MediaFacts],
    script: Script,
    reporter: &ProgressReporter<'_>,
) -> Result<Option<Loudness>, MediaError> {
    let last = Mutex::new(None);
    watch(context, plan, facts, script, reporter, |frame, _| {
        let metadata = frame.metadata();
        let number = |key: &str| metadata.get(key).and_then(|text| text.parse::<f64>().ok());
        let peaks = (0..8).filter_map(|n| number(&format!("lavfi.r128.true_peaks_ch{n}")));
        let peak = peaks.fold(0.0_f64, f64::max);
        if let Some(integrated) = number("lavfi.r128.I") {
            let true_peak = 20.0 * peak.max(1e-9).log10();
            let found = Some(Loudness { integrated, true_peak });
            *last.lock().unwrap_or_else(PoisonError::into_inner) = found;
        }
    })?;
    Ok(last.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn palette(
    context: &TaskContext<'_>,
    plan: &Plan,
    facts: &[MediaFacts],
    look: &VideoGraph<'_>,
    reporter: &ProgressReporter<'_>,
) -> Result<StaticFrame, MediaError> {
    let mut found = None;
    let script = look.look(look.plan.filters.len(), "palettegen=stats_mode=diff");
    watch(context, plan, facts, script, reporter, |frame, _| found = Some(frame))?;
    let frame = found.ok_or_else(|| MediaError::internal("the palette", "was not made"))?;
    let (width, height, format) = ffi::picture_shape(&frame);
    let one = ffmpeg_the_third::Rational(1, 1);
    let shape =
        FrameFormat::Picture { width, height, format, time_base: MICROS, aspect: one, rate: one };
    Ok(StaticFrame { frame, shape })
}

/// The encoder's own first pass.
fn statistics(
    context: &TaskContext<'_>,
    plan: &Plan,
    video: &VideoPlan,
    facts: &[MediaFacts],
    look: &VideoGraph<'_>,
    reporter: &ProgressReporter<'_>,
) -> Result<Option<CString>, MediaError> {
    let found = Arc::new(Mutex::new(None));
    let mut flow = context.flow(facts)?;
    let mut filtering = flow.filter(look.script(), None)?;
    let (time_base, aspect, rate) = filtering.outcome()?;
    let parameters = super::parameters(&flow, video.source)?;
    let mut wanted = canvas(time_base, aspect, rate, video, &parameters, context.scratch);
    wanted.pass = EncoderPass::First;
    wanted.threads = context.threads;
    let encoder = encoder::open_picture(video, wanted)?;
    let track = Track {
        filtering,
        encoder,
        time_base,
        stream: 0,
        coded: None,
        picture: true,
        limit: None,
        until: None,
        keys_every: None,
        sent: Arc::new(AtomicU64::new(0)),
        seen_by: vec![],
        cadence: FrameTypePlan::own(false),
    };
    let keep = Arc::clone(&found);
    flow.stage(move || {
        let statistics = track.run(context.heartbeat, Some(reporter))?;
        *keep.lock().unwrap_or_else(PoisonError::into_inner) = statistics;
        Ok(())
    });
    flow.run(plan.seek)?;
    let found = found.lock().unwrap_or_else(PoisonError::into_inner).take();
    Ok(found)
}

/// Where a slot's scratch files are, from the slot.
pub(super) fn scratch() -> &'static Path {
    Path::new("out/.scratch")
}
