//! How much memory a plan takes at the least.

use super::{
    MediaFacts, Micros, Plan, Preset, StreamPlan, VideoCodec, VideoFacts, VideoPlan, facts::Chroma,
};

/// Frames of an input that are in memory at once: the one being decoded, the one it refers to, and the
/// one being filtered.
const DECODED: u64 = 3;

/// Bytes of frames that a conversion holds at once at the least. Nothing takes less; with packets,
/// filters and threads it takes more.
pub fn footprint_of_plan(plan: &Plan, inputs: &[MediaFacts]) -> u64 {
    let videos = || plan.video.iter().filter(|video| video.codec != VideoCodec::Copy);
    let decoded = if videos().next().is_some() { decoded(inputs) } else { 0 };
    let encoded = videos().map(|video| encoded(video, plan.duration));
    encoded.fold(decoded, u64::saturating_add)
}

/// The same of a stream: every rendition is encoded at the same time.
pub fn footprint_of_stream(plan: &StreamPlan, inputs: &[MediaFacts]) -> u64 {
    let videos = plan.renditions.iter().map(|rendition| &rendition.video);
    let renditions = videos.map(|video| encoded(video, plan.duration));
    renditions.fold(decoded(inputs), u64::saturating_add)
}

/// The same of looking at every frame of the inputs.
pub fn footprint_of_frames(inputs: &[MediaFacts]) -> u64 {
    decoded(inputs)
}

fn decoded(inputs: &[MediaFacts]) -> u64 {
    let frames = inputs.iter().filter_map(MediaFacts::video).map(|(_, video)| {
        let area = u64::from(video.width).saturating_mul(u64::from(video.height));
        (area.saturating_mul(eighths(video)) / 8).saturating_mul(DECODED)
    });
    frames.fold(0, u64::saturating_add)
}

/// Eighths of a byte that a pixel of an input takes.
fn eighths(video: &VideoFacts) -> u64 {
    let planes = match video.chroma {
        Chroma::Gray => 8,
        Chroma::Quarter => 12,
        Chroma::Half => 16,
        Chroma::Full => 24,
    };
    let planes = if video.alpha { planes + 8 } else { planes };
    if video.bit_depth > 8 { planes * 2 } else { planes }
}

fn encoded(video: &VideoPlan, lasts: Option<Micros>) -> u64 {
    let area = u64::from(video.width).saturating_mul(u64::from(video.height));
    // Every pixel format that is encoded to has at least this much.
    let frame = area.saturating_mul(3) / 2;
    let all = lasts.map(|lasts| {
        let frames =
            lasts.saturating_mul(u64::from(video.rate.num)) / u64::from(video.rate.den.max(1));
        frames / 1_000_000
    });
    let held = held(video).min(all.unwrap_or(u64::MAX));
    frame.saturating_mul(held.saturating_add(1))
}

/// Frames that an encoder waits for before it gives the first one out.
fn held(video: &VideoPlan) -> u64 {
    if video.placed.is_some() {
        return 0;
    }
    match (video.codec, video.preset) {
        (VideoCodec::H264 | VideoCodec::Hevc, Preset::Veryfast) => 10,
        (VideoCodec::H264 | VideoCodec::Hevc, Preset::Faster)
        | (VideoCodec::Hevc, Preset::Fast) => 15,
        (VideoCodec::H264, Preset::Fast) => 30,
        (VideoCodec::H264, Preset::Medium) => 40,
        (VideoCodec::H264, Preset::Slow) => 50,
        (VideoCodec::H264, Preset::Slower | Preset::Veryslow) => 60,
        (VideoCodec::Hevc, Preset::Ultrafast | Preset::Superfast) => 5,
        (VideoCodec::Hevc, Preset::Medium) => 20,
        (VideoCodec::Hevc, Preset::Slow | Preset::Slower | Preset::Veryslow) => 25,
        (VideoCodec::Av1, _) => 16,
        _ => 0,
    }
}
