use super::{
    super::{VideoTrack, video},
    Rendition,
};
use crate::media::{
    Container, MediaFacts, PlanRejection, Scale, ScaleMode, Size, Stream, Transcode, Variant,
    VideoCodec, operation::resize,
};

/// The default ladder: shorter side in pixels, and bitrate cap for a typical video in H.264.
const LADDER: [(u32, u64); 7] = [
    (2160, 16_000_000),
    (1440, 9_000_000),
    (1080, 5_000_000),
    (720, 2_800_000),
    (480, 1_400_000),
    (360, 800_000),
    (240, 400_000),
];

/// Larger inputs are scaled down: the shorter side of the first step in pixels.
const MAX_LADDER_SIDE: u32 = 2160;

/// The largest ratio of the shorter sides of a step and the input.
const MAX_STEP_RATIO: f64 = 0.85;

/// Below this complexity, every other step is left out.
const LOW_COMPLEXITY: f64 = 0.5;

/// The steps that do not upscale the input, each with its bitrate cap. The caps of the default
/// ladder depend on `complexity`: the ratio of the video's bits to those of a typical video.
pub(super) fn ladder(
    request: &Stream,
    track: &VideoTrack,
    known: bool,
    complexity: Option<f64>,
    notes: &mut Vec<String>,
) -> Vec<(Variant, u64)> {
    let Size { width: wide, height: high } = track.display_size();
    let upright = high > wide;
    let short = wide.min(high);
    let of_side = |side: u32| {
        let (width, height) = if upright { (Some(side), None) } else { (None, Some(side)) };
        Variant {
            name: format!("{side}p"),
            width,
            height,
            video_bitrate: None,
            crf: None,
            audio_bitrate: None,
        }
    };
    let cap = |side: u32| {
        let step = LADDER.iter().rev().find(|(step, _)| *step >= side);
        step.map_or(24_000_000, |(_, rate)| *rate)
    };
    if request.variants.is_empty() {
        // The first step is the input's own size; a standard one just below it would add nothing.
        let own = (short - short % 2).max(2);
        let is_lower = |side: &u32| f64::from(*side) < f64::from(own) * MAX_STEP_RATIO;
        let lower = LADDER.iter().map(|(side, _)| *side).filter(is_lower);
        let mut steps: Vec<u32> = std::iter::once(own.min(MAX_LADDER_SIDE)).chain(lower).collect();
        steps.dedup();
        let effort = complexity.unwrap_or(1.0).clamp(0.35, 1.6);
        if effort < LOW_COMPLEXITY {
            steps = steps.into_iter().step_by(2).collect();
        }
        if known {
            notes.push(explain_ladder(short, complexity, effort));
        }
        return steps.into_iter().map(|side| (of_side(side), scaled(cap(side), effort))).collect();
    }
    let fits = |variant: &&Variant| {
        !known
            || (variant.width.is_none_or(|width| width <= wide)
                && variant.height.is_none_or(|height| height <= high))
    };
    let mut kept: Vec<Variant> = request.variants.iter().filter(fits).cloned().collect();
    let left_out: Vec<&str> = request
        .variants
        .iter()
        .filter(|variant| !fits(variant))
        .map(|variant| variant.name.as_str())
        .collect();
    if !left_out.is_empty() {
        notes.push(format!(
            "larger than the input's {wide}x{high}, and left out: {}",
            left_out.join(", ")
        ));
    }
    if kept.is_empty() {
        kept.extend(request.variants.first().map(|first| Variant {
            width: None,
            height: Some(high - high % 2),
            ..first.clone()
        }));
    }
    kept.into_iter()
        .map(|variant| {
            let scale =
                Scale { width: variant.width, height: variant.height, mode: ScaleMode::Fit };
            let Size { width, height } = resize(track, &scale);
            let cap = cap(width.min(height));
            (variant, cap)
        })
        .collect()
}

/// Explains the choice of a ladder.
fn explain_ladder(short: u32, complexity: Option<f64>, effort: f64) -> String {
    let start = format!("the ladder starts at the input's {short} lines");
    let Some(complexity) = complexity else {
        return format!(
            "{start}; each step has constant quality with a bitrate cap for a typical video, so \
             that simple content takes less"
        );
    };
    let steps = if effort < LOW_COMPLEXITY { ", and every other step is left out" } else { "" };
    format!(
        "{start}; a quick encode of samples took {complexity:.2} times a typical video's bits, so \
         each step has constant quality with {effort:.2} times the usual bitrate cap{steps}"
    )
}

/// Rounds to whole kilobits per second.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "bitrates are far below 2^52"
)]
fn scaled(rate: u64, factor: f64) -> u64 {
    ((rate as f64 * factor / 1_000.0).round() as u64).saturating_mul(1_000)
}

pub(super) fn rendition(
    request: &Stream,
    variant: &Variant,
    cap: u64,
    track: &VideoTrack,
    codec: VideoCodec,
    own: Option<&MediaFacts>,
) -> Result<Rendition, PlanRejection> {
    let mut track = track.clone();
    let scale = Scale { width: variant.width, height: variant.height, mode: ScaleMode::Fit };
    let size = resize(&track, &scale);
    track.scale_to(size);
    // Segments of all steps start with the same frames.
    track.make_constant();
    // HEVC needs two thirds of H.264's bitrate.
    let cap = if codec == VideoCodec::Hevc { cap / 3 * 2 } else { cap };
    let transcode = Transcode {
        crf: variant.crf,
        video_bitrate: variant.video_bitrate,
        max_bitrate: Some(variant.video_bitrate.map_or(cap, |rate| rate / 2 * 3)),
        preset: request.preset,
        // Longer than any segment: keyframes are placed at segment starts.
        keyframe_interval: Some(1_000),
        ..Transcode::default()
    };
    let settings =
        video::Settings { at: 0, container: Container::Mp4, transcode: &transcode, codec };
    let video = settings.finish(track, own, &mut vec![])?;
    Ok(Rendition { name: variant.name.clone(), video })
}
