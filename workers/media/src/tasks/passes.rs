//! Analysis passes, which run before anything is encoded.

use std::{
    ffi::CString,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
};

use ffapi_domain::media::{
    AudioFilter, AudioPlan, MediaFacts, Plan, VideoCodec, VideoFilter, VideoPlan,
};
use ffmpeg_the_third::{Rescale, frame};

use crate::{
    MediaError,
    encoders::{self, EncoderSettings, track::Track},
    ffi::{self, EncoderPass, FrameColors},
    pipeline::{
        context::TaskContext,
        filtergraph::{AudioGraph, Gain, VideoGraph, motion_file},
        filtering::Filtering,
        frame_channel::StaticFrame,
        frame_format::FrameFormat,
        progress::ProgressReporter,
    },
    quality::target::{self, QualityFound},
    units::MICROS,
};

/// The results of the analysis passes.
#[derive(Default)]
pub(crate) struct PassResults {
    /// The gain of each audio track of the plan.
    pub(crate) gains: Vec<Option<Gain>>,
    pub(crate) palette: Option<StaticFrame>,
    pub(crate) statistics: Option<CString>,
    /// The constant quality that reaches the VMAF target.
    pub(crate) quality: Option<QualityFound>,
}

/// The number of passes, including the one that encodes.
pub(crate) fn count(plan: &Plan) -> u32 {
    let video = plan.video.as_ref();
    let video_passes = [
        video.is_some_and(|video| motion_at(video).is_some()),
        video.is_some_and(|video| video.codec == VideoCodec::Gif),
        video.is_some_and(|video| video.quality.two_pass),
        video.is_some_and(|video| video.quality.target_vmaf.is_some()),
    ];
    let video_passes = video_passes.into_iter().map(u32::from).sum::<u32>();
    let loudness_passes = plan.audio.iter().filter(|audio| loudness_at(audio).is_some()).count();
    video_passes.saturating_add(u32::try_from(loudness_passes).unwrap_or(0)).saturating_add(1)
}

fn motion_at(video: &VideoPlan) -> Option<usize> {
    video.filters.iter().position(|filter| matches!(filter, VideoFilter::Stabilize(_)))
}

fn loudness_at(audio: &AudioPlan) -> Option<(usize, f64)> {
    audio.filters.iter().enumerate().find_map(|(index, filter)| match filter {
        AudioFilter::Loudness(target) => Some((index, *target)),
        _ => None,
    })
}

/// Runs the analysis passes that the plan needs before it is encoded.
pub(crate) fn run(
    context: &TaskContext<'_>,
    plan: &Plan,
    facts: &[MediaFacts],
    reporter: &ProgressReporter<'_>,
) -> Result<PassResults, MediaError> {
    let mut results = PassResults::default();
    let mut number = 0;
    let mut next = |stage| {
        reporter.begin_pass(number, stage);
        number += 1;
    };
    for audio in &plan.audio {
        let gain = match loudness_at(audio) {
            Some((index, target)) => {
                next("measuring loudness");
                Some(loudness(context, plan, audio, facts, index, target, reporter)?)
            }
            None => None,
        };
        results.gains.push(gain.flatten());
    }
    if let Some(video) = &plan.video {
        let graph = VideoGraph::of(video, facts, context.scratch);
        if let Some(index) = motion_at(video) {
            next("following the camera");
            let detect = format!(
                "vidstabdetect=result={}:shakiness=8:accuracy=15",
                motion_file(context.scratch).display()
            );
            analyze(context, plan, facts, graph.prefix(index, &detect), reporter, |_, _| {})?;
        }
        if video.codec == VideoCodec::Gif {
            next("choosing colours");
            results.palette = Some(palette(context, plan, facts, &graph, reporter)?);
        }
        if let Some(target) = video.quality.target_vmaf {
            next("searching for the quality");
            results.quality = Some(target::search(context, plan, video, facts, target, reporter)?);
        }
        if video.quality.two_pass {
            next("looking ahead");
            results.statistics = statistics(context, plan, video, facts, &graph, reporter)?;
        }
    }
    reporter.begin_pass(number, "encoding");
    Ok(results)
}

type Filtergraph = (String, Vec<crate::pipeline::filtergraph::GraphInput>);

/// Runs a graph without output; `observe` is called for each of its frames.
fn analyze(
    context: &TaskContext<'_>,
    plan: &Plan,
    facts: &[MediaFacts],
    filtergraph: Filtergraph,
    reporter: &ProgressReporter<'_>,
    mut observe: impl FnMut(frame::Frame, &Filtering<'_>) + Send,
) -> Result<(), MediaError> {
    let mut flow = context.flow(facts)?;
    let mut filtering = flow.filter(filtergraph, None)?;
    let time_base = filtering.output_timing()?.time_base;
    flow.add_stage(move || {
        while let Some(frame) = filtering.next(context.heartbeat)? {
            let at = frame.pts().unwrap_or(0).rescale(time_base, MICROS);
            reporter.set_position(u64::try_from(at).unwrap_or(0));
            observe(frame, &filtering);
        }
        Ok(())
    });
    flow.run(plan.part())
}

/// The gain that brings an audio track to its loudness target. If its peaks must be limited, the
/// limited audio is measured again, because limiting makes it quieter.
fn loudness(
    context: &TaskContext<'_>,
    plan: &Plan,
    audio: &AudioPlan,
    facts: &[MediaFacts],
    index: usize,
    target: f64,
    reporter: &ProgressReporter<'_>,
) -> Result<Option<Gain>, MediaError> {
    /// LUFS below which the audio counts as silent.
    const SILENT: f64 = -69.0;
    /// One decibel below full scale, in dBTP: encoding may raise the peaks by that.
    const PEAK_LIMIT: f64 = -1.0;
    let measure = |gain: Option<Gain>, count: usize| {
        let graph = AudioGraph { plan: audio, sample_format: "fltp", gain };
        measured(
            context,
            plan,
            facts,
            graph.prefix(count, "ebur128=metadata=1:peak=true"),
            reporter,
        )
    };
    let Some(found) = measure(None, index)?.filter(|found| found.integrated > SILENT) else {
        return Ok(None);
    };
    let mut by = target - found.integrated;
    if found.true_peak + by <= PEAK_LIMIT {
        return Ok(Some(Gain { by, limited: false }));
    }
    let mut before: Option<(f64, f64)> = None;
    for _ in 0..6 {
        let gain = Gain { by, limited: true };
        let Some(limited) = measure(Some(gain), index.saturating_add(1))? else { break };
        let error = target - limited.integrated;
        if error.abs() < 0.1 {
            break;
        }
        // The more is limited, the less another decibel adds: follow the slope (secant method).
        let slope = before.map_or(1.0, |(last_gain, last_loudness)| {
            ((limited.integrated - last_loudness) / (by - last_gain)).clamp(0.15, 1.0)
        });
        before = Some((by, limited.integrated));
        by += error / slope;
    }
    Ok(Some(Gain { by, limited: true }))
}

/// Values by EBU R128.
#[derive(Debug, Clone, Copy)]
struct Loudness {
    /// LUFS.
    integrated: f64,
    /// Decibels relative to full scale (dBTP).
    true_peak: f64,
}

fn measured(
    context: &TaskContext<'_>,
    plan: &Plan,
    facts: &[MediaFacts],
    filtergraph: Filtergraph,
    reporter: &ProgressReporter<'_>,
) -> Result<Option<Loudness>, MediaError> {
    let last = Mutex::new(None);
    analyze(context, plan, facts, filtergraph, reporter, |frame, _| {
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
    graph: &VideoGraph<'_>,
    reporter: &ProgressReporter<'_>,
) -> Result<StaticFrame, MediaError> {
    let mut found = None;
    let filtergraph = graph.prefix(graph.plan.filters.len(), "palettegen=stats_mode=diff");
    analyze(context, plan, facts, filtergraph, reporter, |frame, _| found = Some(frame))?;
    let frame = found.ok_or_else(|| MediaError::nothing_left("video"))?;
    let (width, height, format) = ffi::frame_shape(&frame);
    let one = ffmpeg_the_third::Rational(1, 1);
    let shape = FrameFormat::Video {
        width,
        height,
        format,
        time_base: MICROS,
        aspect: one,
        rate: one,
        colors: FrameColors::of_frame(&frame),
    };
    Ok(StaticFrame { frame, shape })
}

/// The first pass of a two-pass encoder; returns its statistics.
fn statistics(
    context: &TaskContext<'_>,
    plan: &Plan,
    video: &VideoPlan,
    facts: &[MediaFacts],
    graph: &VideoGraph<'_>,
    reporter: &ProgressReporter<'_>,
) -> Result<Option<CString>, MediaError> {
    let found = Arc::new(Mutex::new(None));
    let mut flow = context.flow(facts)?;
    let mut filtering = flow.filter(graph.filtergraph(), None)?;
    let timing = filtering.output_timing()?;
    let parameters = flow.parameters(video.source)?;
    let mut settings = EncoderSettings::new(timing, video, &parameters, context.scratch);
    settings.pass = EncoderPass::First;
    settings.threads = context.threads;
    let encoder = encoders::open_video(video, settings)?;
    let track = Track::video(filtering, encoder, timing.time_base);
    let sent = Arc::clone(&track.sent);
    let target = Arc::clone(&found);
    flow.add_stage(move || {
        let statistics = track.run(context.heartbeat, Some(reporter))?;
        *target.lock().unwrap_or_else(PoisonError::into_inner) = statistics;
        Ok(())
    });
    flow.run(plan.part())?;
    if sent.load(Ordering::Relaxed) == 0 {
        return Err(MediaError::nothing_left("video"));
    }
    let found = found.lock().unwrap_or_else(PoisonError::into_inner).take();
    Ok(found)
}
