use ffapi_domain::media::{
    MediaFacts, Preset, RateControl, Size, Source, Stream, VideoCodec, VideoFacts, VideoFilter,
    VideoPlan,
};

use crate::{
    MediaError,
    pipeline::context::TaskContext,
    quality::crf_sampling::{Measured, encode_samples, sample_windows},
};

/// Bits per pixel that the quick encode takes for an average video: a few recordings and cartoons
/// take 0.20 to 0.45.
const AVERAGE_BITS_PER_PIXEL: f64 = 0.28;

/// The bits that a video takes relative to an average one, estimated by a quick encode of samples
/// at a low resolution; `None` if the request determines its renditions.
pub(crate) fn complexity(
    request: &Stream,
    context: &TaskContext<'_>,
    facts: &[MediaFacts],
) -> Result<Option<f64>, MediaError> {
    let primary = crate::pipeline::context::primary_facts(facts)?;
    let Some((stream, video)) = primary.video().filter(|_| request.variants.is_empty()) else {
        return Ok(None);
    };
    let plan = quick_plan(Source { input: 0, stream: stream.index }, video);
    let pixels = f64::from(plan.width) * f64::from(plan.height);
    let samples = sample_windows(0, primary.duration);
    // Every second one of many: a ladder needs no more precision.
    let selected: Vec<_> = samples.iter().copied().step_by(1 + samples.len() / 4).collect();
    let stats = encode_samples(context, &plan, facts, &selected, Measured::Bitrate)?;
    if stats.frames == 0 {
        return Ok(None);
    }
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let bits_per_pixel = stats.bytes as f64 * 8.0 / stats.frames as f64 / pixels;
    Ok(Some((bits_per_pixel / AVERAGE_BITS_PER_PIXEL * 100.0).round() / 100.0))
}

/// A plan of at most 360 lines, at constant quality.
fn quick_plan(source: Source, video: &VideoFacts) -> VideoPlan {
    let even = |side: u32| (side / 2 * 2).max(16);
    let high = video.height.min(360);
    let wide = u64::from(video.width) * u64::from(high) / u64::from(video.height.max(1));
    let (width, height) = (even(u32::try_from(wide).unwrap_or(16)), even(high));
    VideoPlan {
        filters: vec![VideoFilter::Scale { width, height }],
        constant_rate: !video.variable_rate,
        quality: RateControl { crf: Some(23), ..RateControl::default() },
        preset: Preset::Ultrafast,
        ..VideoPlan::new(
            source,
            VideoCodec::H264,
            Size { width, height },
            "yuv420p",
            video.frame_rate,
        )
    }
}
