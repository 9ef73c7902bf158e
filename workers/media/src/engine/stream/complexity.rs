use ffapi_domain::media::{
    MediaFacts, Preset, RateControl, Source, Stream, VideoCodec, VideoFacts, VideoFilter, VideoPlan,
};

use crate::{
    MediaError,
    engine::{
        TaskContext,
        crf_sampling::{attempt, samples},
    },
};

/// Bits a pixel that the quick encode takes of a usual film: a handful of camera films and cartoons
/// take 0.20 to 0.45.
const USUAL: f64 = 0.28;

/// The bits that a film takes beside a usual one, found by a small and quick encode of samples;
/// none where nothing is to be chosen by it.
pub(in crate::engine) fn complexity(
    request: &Stream,
    context: &TaskContext<'_>,
    facts: &[MediaFacts],
) -> Result<Option<f64>, MediaError> {
    let own = crate::engine::own(facts)?;
    let Some((stream, video)) = own.video().filter(|_| request.variants.is_empty()) else {
        return Ok(None);
    };
    let plan = quick(Source { input: 0, stream: stream.index }, video);
    let pixels = f64::from(plan.width) * f64::from(plan.height);
    let samples = samples(0, own.duration);
    // Half of many: a ladder is no closer matter than that.
    let some: Vec<_> = samples.iter().copied().step_by(1 + samples.len() / 4).collect();
    let found = attempt(context, &plan, facts, &some, false)?;
    if found.pictures == 0 {
        return Ok(None);
    }
    #[expect(clippy::cast_precision_loss, reason = "a few pictures")]
    let each = found.bytes as f64 * 8.0 / found.pictures as f64 / pixels;
    Ok(Some((each / USUAL * 100.0).round() / 100.0))
}

/// 360 lines at most, in constant quality.
fn quick(source: Source, video: &VideoFacts) -> VideoPlan {
    let even = |side: u32| (side / 2 * 2).max(16);
    let high = video.height.min(360);
    let wide = u64::from(video.width) * u64::from(high) / u64::from(video.height.max(1));
    let (width, height) = (even(u32::try_from(wide).unwrap_or(16)), even(high));
    VideoPlan {
        source,
        codec: VideoCodec::H264,
        filters: vec![VideoFilter::Scale { width, height }],
        width,
        height,
        pixel_format: "yuv420p".to_owned(),
        rate: video.frame_rate,
        constant_rate: !video.variable_rate,
        quality: RateControl { crf: Some(23), ..RateControl::default() },
        preset: Preset::Ultrafast,
        profile: None,
        keyframe_interval: None,
        tonemapped: false,
        fields: None,
        placed: None,
    }
}
