//! Lower bounds of the memory that a plan needs.

use super::{
    MediaFacts, Micros, Plan, Preset, StreamPlan, VideoCodec, VideoFacts, VideoPlan, facts::Chroma,
};

/// Decoded frames of an input that are in memory at once: the one being decoded, its reference, and
/// the one being filtered.
const DECODED_FRAMES: u64 = 3;

/// Minimum bytes of frames that a conversion holds at once; packets, filters and threads add to it.
pub fn footprint_of_plan(plan: &Plan, inputs: &[MediaFacts]) -> u64 {
    let videos = || plan.video.iter().filter(|video| video.codec != VideoCodec::Copy);
    let decoded = if videos().next().is_some() { decoded(inputs) } else { 0 };
    let encoded = videos().map(|video| encoded(video, plan.duration));
    encoded.fold(decoded, u64::saturating_add)
}

/// The same for a stream: all renditions are encoded at the same time.
pub fn footprint_of_stream(plan: &StreamPlan, inputs: &[MediaFacts]) -> u64 {
    let videos = plan.renditions.iter().map(|rendition| &rendition.video);
    let renditions = videos.map(|video| encoded(video, plan.duration));
    renditions.fold(decoded(inputs), u64::saturating_add)
}

/// The same for analysing every frame of the inputs.
pub fn footprint_of_frames(inputs: &[MediaFacts]) -> u64 {
    decoded(inputs)
}

fn decoded(inputs: &[MediaFacts]) -> u64 {
    let frames = inputs.iter().filter_map(MediaFacts::video).map(|(_, video)| {
        let area = u64::from(video.width).saturating_mul(u64::from(video.height));
        (area.saturating_mul(bits_per_pixel(video)) / 8).saturating_mul(DECODED_FRAMES)
    });
    frames.fold(0, u64::saturating_add)
}

/// Bits per pixel of a decoded frame.
fn bits_per_pixel(video: &VideoFacts) -> u64 {
    let planes = match video.chroma {
        Chroma::Gray => 8,
        Chroma::Quarter => 12,
        Chroma::Half => 16,
        Chroma::Full => 24,
    };
    let planes = if video.alpha { planes + 8 } else { planes };
    if video.bit_depth > 8 { planes * 2 } else { planes }
}

fn encoded(video: &VideoPlan, duration: Option<Micros>) -> u64 {
    let area = u64::from(video.width).saturating_mul(u64::from(video.height));
    // Every pixel format of an encoder has at least this size.
    let frame = area.saturating_mul(3) / 2;
    let total = duration.map(|duration| {
        let frames =
            duration.saturating_mul(u64::from(video.rate.num)) / u64::from(video.rate.den.max(1));
        frames / 1_000_000
    });
    let buffered = lookahead_frames(video).min(total.unwrap_or(u64::MAX));
    frame.saturating_mul(buffered.saturating_add(1))
}

/// Frames that an encoder buffers before it outputs the first one.
fn lookahead_frames(video: &VideoPlan) -> u64 {
    if video.assigned.is_some() {
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
