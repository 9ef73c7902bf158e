use super::{
    super::{Picture, VideoFilter, picture},
    Rendition,
};
use crate::media::{
    Container, MediaFacts, PlanRejection, Scale, ScaleMode, Stream, Transcode, Variant, VideoCodec,
    operation::resize,
};

/// The usual ladder: the shorter side, and the cap of a usual film's rate for H.264.
const LADDER: [(u32, u64); 7] = [
    (2160, 16_000_000),
    (1440, 9_000_000),
    (1080, 5_000_000),
    (720, 2_800_000),
    (480, 1_400_000),
    (360, 800_000),
    (240, 400_000),
];

/// A film that takes fewer bits than this share of a usual one's does with every other step.
const EASY: f64 = 0.5;

/// The steps that do not enlarge the film, each with the cap of its rate. A ladder that we choose
/// has caps by the film's `complexity`: the bits it takes beside a usual one.
pub(super) fn ladder(
    request: &Stream,
    picture: &Picture,
    known: bool,
    complexity: Option<f64>,
    notes: &mut Vec<String>,
) -> Vec<(Variant, u64)> {
    let (wide, high) = picture.shown_size();
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
        let mut steps: Vec<u32> =
            LADDER.iter().map(|(side, _)| *side).filter(|side| *side <= short).collect();
        if steps.is_empty() {
            steps.push(short - short % 2);
        }
        let effort = complexity.unwrap_or(1.0).clamp(0.35, 1.6);
        if effort < EASY {
            steps = steps.into_iter().step_by(2).collect();
        }
        if known {
            notes.push(explained(short, complexity, effort));
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
            "larger than the film's {wide}x{high}, and left out: {}",
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
            let (width, height) = resize(picture, &scale);
            let cap = cap(width.min(height));
            (variant, cap)
        })
        .collect()
}

/// Why a ladder is as it is.
fn explained(short: u32, complexity: Option<f64>, effort: f64) -> String {
    let begins = format!("the ladder goes from the film's {short} lines down");
    let Some(complexity) = complexity else {
        return format!(
            "{begins}; each step has constant quality below a usual film's rate, so that an easy \
             one takes less"
        );
    };
    let steps = if effort < EASY { ", and every other step is left out" } else { "" };
    format!(
        "{begins}; a quick encode of samples took {complexity:.2} times a usual film's bits, so \
         each step has constant quality below {effort:.2} times the usual rate{steps}"
    )
}

/// Whole thousands of bits a second.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "rates are far from what a float cannot count"
)]
fn scaled(rate: u64, by: f64) -> u64 {
    ((rate as f64 * by / 1_000.0).round() as u64).saturating_mul(1_000)
}

pub(super) fn rendition(
    request: &Stream,
    variant: &Variant,
    cap: u64,
    picture: &Picture,
    codec: VideoCodec,
    own: Option<&MediaFacts>,
) -> Result<Rendition, PlanRejection> {
    let mut picture = picture.clone();
    let scale = Scale { width: variant.width, height: variant.height, mode: ScaleMode::Fit };
    let size = resize(&picture, &scale);
    picture.scale_to(size);
    if picture.rate.num > 0 {
        // Segments of all steps begin with the same pictures.
        picture.filters.push(VideoFilter::Rate(picture.rate));
        picture.variable_rate = false;
    }
    // HEVC does with two thirds.
    let cap = if codec == VideoCodec::Hevc { cap / 3 * 2 } else { cap };
    let transcode = Transcode {
        crf: variant.crf,
        video_bitrate: variant.video_bitrate,
        max_bitrate: Some(variant.video_bitrate.map_or(cap, |rate| rate / 2 * 3)),
        preset: request.preset,
        // Longer than any segment: keyframes stand where segments begin.
        keyframe_interval: Some(1_000),
        ..Transcode::default()
    };
    let settings =
        picture::Settings { at: 0, container: Container::Mp4, transcode: &transcode, codec };
    let video = settings.finish(picture, own, &mut vec![])?;
    Ok(Rendition { name: variant.name.clone(), video })
}
