use super::super::{MAX_SIDE, as_seconds, missing, refuse};
use crate::media::{
    Capabilities, Metric, Packaging, PlanRejection, SegmentFormat, Stream, Variant, VideoCodec,
    request::within,
};

/// Checks everything that can be rejected before the input is probed; returns the codec.
pub(super) fn check(
    request: &Stream,
    capabilities: &Capabilities,
) -> Result<VideoCodec, PlanRejection> {
    let codec = request.video_codec.unwrap_or(VideoCodec::H264);
    if !matches!(codec, VideoCodec::H264 | VideoCodec::Hevc) {
        let detail = format!("a stream's video is `h264` or `hevc`, not `{}`", codec.as_str());
        return refuse("#/video_codec", detail);
    }
    if !capabilities.encodes_video(codec) {
        let detail = missing(codec.as_str(), &capabilities.video_codecs);
        return refuse("#/video_codec", detail);
    }
    if let Some(segment) = request.segment_duration
        && !(1_000_000..=30_000_000).contains(&segment)
    {
        let detail = format!("a segment lasts 1 to 30 seconds, not {}", as_seconds(segment));
        return refuse("#/segment_duration", detail);
    }
    let hls = request.packaging == Packaging::Hls;
    if request.segments == SegmentFormat::Ts && !hls {
        return refuse("#/segment_format", "`ts` segments are for the type `hls`");
    }
    if request.segments == SegmentFormat::Ts && codec == VideoCodec::Hevc {
        return refuse("#/segment_format", "players only support hevc in `fmp4` segments");
    }
    if request.encrypted && !hls {
        return refuse("#/encryption", "`aes-128` is for the type `hls`");
    }
    if request.variants.len() > 10 {
        return refuse("#/variants", "a ladder has at most 10 variants");
    }
    for (index, variant) in request.variants.iter().enumerate() {
        check_variant(index, variant, &request.variants)?;
    }
    if let Some(poster) = &request.poster {
        poster.pictures().check().map_err(|refusal| within("poster", refusal))?;
    }
    if let Some(sprite) = &request.sprite {
        sprite.pictures().check().map_err(|refusal| within("sprite", refusal))?;
    }
    if let Some(index) = request.metrics.iter().position(|metric| !metric.available_in_stream()) {
        let available = Metric::ALL.iter().filter(|metric| metric.available_in_stream());
        let available: Vec<&str> = available.map(|metric| metric.as_str()).collect();
        let detail = format!(
            "this metric needs an `analyze` job; a stream can measure {}",
            available.join(", ")
        );
        return refuse(format!("#/metrics/{index}"), detail);
    }
    for (index, caption) in request.captions.iter().enumerate() {
        let valid = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        if !(2..=16).contains(&caption.language.len()) || !caption.language.bytes().all(valid) {
            let pointer = format!("#/captions/{index}/language");
            return refuse(pointer, "`language` is a code like `en` or `pt-BR`");
        }
        let clean =
            |name: &String| name.len() <= 64 && !name.chars().any(|c| c.is_control() || c == '"');
        if !caption.name.as_ref().is_none_or(clean) {
            let pointer = format!("#/captions/{index}/name");
            return refuse(pointer, "`name` is up to 64 bytes without quotes or line breaks");
        }
    }
    Ok(codec)
}

fn check_variant(index: usize, variant: &Variant, all: &[Variant]) -> Result<(), PlanRejection> {
    let refuse = |field: &str, detail: &str| refuse(format!("#/variants/{index}/{field}"), detail);
    let valid = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let name = &variant.name;
    let is_reserved =
        ["audio", "captions", "poster", "sprite"].iter().any(|prefix| name.starts_with(prefix));
    if !(1..=32).contains(&name.len()) || !name.bytes().all(valid) || is_reserved {
        let detail = "`name` is 1 to 32 letters, digits, `-` and `_`, and does not begin with \
                      `audio`, `captions`, `poster` or `sprite`";
        return refuse("name", detail);
    }
    if all.iter().filter(|other| other.name == variant.name).count() > 1 {
        return refuse("name", "two variants have this name");
    }
    if variant.width.is_none() && variant.height.is_none() {
        return refuse("height", "a variant needs a `width`, a `height` or both");
    }
    for (field, side) in [("width", variant.width), ("height", variant.height)] {
        if side.is_some_and(|side| !(64..=MAX_SIDE).contains(&side)) {
            return refuse(field, "a side is 64 to 8192 pixels");
        }
    }
    if variant.video_bitrate.is_some() && variant.crf.is_some() {
        return refuse("crf", "give `crf` or `video_bitrate`, not both");
    }
    if variant.video_bitrate.is_some_and(|rate| !(50_000..=200_000_000).contains(&rate)) {
        return refuse("video_bitrate", "`video_bitrate` is 50000 to 200000000");
    }
    if variant.crf.is_some_and(|crf| crf > 51) {
        return refuse("crf", "crf is 0 (best) to 51 (smallest)");
    }
    if variant.audio_bitrate.is_some_and(|rate| !(16_000..=512_000).contains(&rate)) {
        return refuse("audio_bitrate", "`audio_bitrate` is 16000 to 512000");
    }
    Ok(())
}
