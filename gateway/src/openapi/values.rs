//! The values that a field of a schema may have, for fields of a closed set of words.
//!
//! Sets that grow, such as error codes, are not among them: a generated client would reject a new one.

use ffapi_domain::{
    account::Tier,
    key::Scope,
    media::{
        AudioCodec, Fallback, ImageFormat, MediaRequest, Packaging, Pool, Preset, ThumbnailMode,
        VideoCodec,
    },
};
use serde_json::{Map, Value, json};

use super::set::set;

type Words = Vec<&'static str>;

/// Schema, field, values. A test checks each against the field's description.
#[rustfmt::skip]
fn fields() -> Vec<(&'static str, &'static str, Words)> {
    let images = || vec!["jpeg", "png", "webp"];
    let kinds = || MediaRequest::KINDS.to_vec();
    let pools = || names(Pool::ALL, Pool::as_str);
    let positions = || {
        vec![
            "top_left", "top", "top_right", "left", "center", "right", "bottom_left", "bottom",
            "bottom_right",
        ]
    };
    let priorities = || vec!["low", "normal", "high"];
    let scopes = || names(&Scope::ALL, Scope::as_str);
    let statuses = || vec!["queued", "processing", "completed", "failed", "cancelled"];
    let tiers = || names(&Tier::ALL, Tier::as_str);
    vec![
        ("Account", "status", vec!["open", "closing", "erased"]),
        ("Account", "tier", tiers()),
        ("AccountPatch", "tier", tiers()),
        ("Attempt", "outcome", vec!["completed", "failed", "abandoned", "cancelled"]),
        ("Attempt", "pool", pools()),
        ("Batch", "status", vec!["processing", "completed", "partial_success", "failed", "cancelled"]),
        ("BatchRequest", "priority", priorities()),
        ("Cache", "name", vec!["jobs", "outputs", "presets", "probes", "keys"]),
        ("Delivery", "status", vec!["due", "delivered", "failed"]),
        ("Estimated", "pool", pools()),
        ("Filter", "name", vec![
            "denoise", "deinterlace", "stabilize", "sharpen", "blur", "brightness", "contrast",
            "saturation", "hue", "eq", "tonemap",
        ]),
        ("Flip", "axis", vec!["horizontal", "vertical", "both"]),
        ("Hardware", "fallback", names(Fallback::ALL, Fallback::as_str)),
        ("Hardware", "prefer", pools()),
        ("Job", "kind", kinds()),
        ("Job", "overwrite", vec!["fail", "replace"]),
        ("Job", "priority", priorities()),
        ("Job", "status", statuses()),
        ("JobError", "retry_hint", vec!["retry", "no_retry"]),
        ("JobSummary", "kind", kinds()),
        ("JobSummary", "priority", priorities()),
        ("JobSummary", "status", statuses()),
        ("Key", "scopes", scopes()),
        ("Key", "status", vec!["active", "expired", "revoked"]),
        ("KeyCreate", "scopes", scopes()),
        ("PlanDevice", "pool", vec!["vaapi", "nvenc", "qsv"]),
        ("PlanOverlay", "matrix", vec!["bt601", "bt709", "bt2020"]),
        ("PlanText", "position", positions()),
        ("PlanTonemap", "from", vec!["pq", "hlg"]),
        ("PlanVideo", "fields", vec!["top_first", "bottom_first"]),
        ("PlanVideo", "preset", names(Preset::ALL, Preset::as_str)),
        ("PlanVideoFilter", "flip", vec!["horizontal", "vertical", "both"]),
        ("PlanVideoFilter", "matrix", vec!["bt601", "bt709", "bt2020"]),
        ("Preset", "kind", kinds()),
        ("PresetCreate", "kind", kinds()),
        ("Scale", "mode", vec!["fit", "fill", "stretch"]),
        ("StoreStats", "status", vec!["ok", "down"]),
        ("StreamPoster", "format", images()),
        ("StreamRequest", "encoder_preset", names(Preset::ALL, Preset::as_str)),
        ("StreamRequest", "segment_format", vec!["fmp4", "ts"]),
        ("StreamRequest", "segments", vec!["files", "single_file"]),
        ("StreamRequest", "type", names(Packaging::ALL, Packaging::as_str)),
        ("StreamRequest", "video_codec", vec!["h264", "hevc"]),
        ("StreamSettings", "encoder_preset", names(Preset::ALL, Preset::as_str)),
        ("StreamSettings", "encryption", vec!["aes-128"]),
        ("StreamSettings", "segment_format", vec!["fmp4", "ts"]),
        ("StreamSettings", "segments", vec!["files", "single_file"]),
        ("StreamSettings", "type", names(Packaging::ALL, Packaging::as_str)),
        ("StreamSettings", "video_codec", vec!["h264", "hevc"]),
        ("StreamSprite", "format", images()),
        ("Subtitles", "mode", vec!["burn", "embed", "sidecar"]),
        ("ThumbnailsRequest", "format", names(ImageFormat::ALL, ImageFormat::as_str)),
        ("ThumbnailsRequest", "mode", names(ThumbnailMode::ALL, ThumbnailMode::as_str)),
        ("ThumbnailsSettings", "format", names(ImageFormat::ALL, ImageFormat::as_str)),
        ("ThumbnailsSettings", "mode", names(ThumbnailMode::ALL, ThumbnailMode::as_str)),
        ("Transcode", "audio_codec", names(AudioCodec::ALL, AudioCodec::as_str)),
        ("Transcode", "preset", names(Preset::ALL, Preset::as_str)),
        ("Transcode", "video_codec", names(VideoCodec::ALL, VideoCodec::as_str)),
        ("Validated", "pool", pools()),
        ("Waiting", "reason", vec![
            "scheduled", "backoff", "waiting_for", "no_worker", "account_cap", "key_cap", "batch_cap",
            "priority", "busy",
        ]),
        ("Watermark", "position", positions()),
        ("Webhook", "disabled_by", vec!["owner", "gone", "failing"]),
        ("Webhook", "status", vec!["enabled", "disabled"]),
    ]
}

fn names<T: Copy>(all: &[T], name: fn(T) -> &'static str) -> Words {
    all.iter().map(|one| name(*one)).collect()
}

/// Adds the values to the schemas; those of a list to its items.
pub(super) fn describe(schemas: &mut Map<String, Value>) {
    for (schema, field, values) in fields() {
        let property = schemas.get_mut(schema).and_then(|schema| schema.get_mut("properties"));
        if let Some(property) = property.and_then(|properties| properties.get_mut(field)) {
            let is_list = property.get("items").is_some();
            set(property, if is_list { &["items", "enum"] } else { &["enum"] }, json!(values));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_is_one_that_the_description_names() {
        let document = super::super::document(&crate::server::generated());
        for (schema, field, values) in fields() {
            let property = &document["components"]["schemas"][schema]["properties"][field];
            let named = property.get("enum").unwrap_or(&property["items"]["enum"]);
            assert_eq!(&json!(values), named, "{schema}.{field}");
            let description = property["description"].as_str().unwrap_or_default();
            for value in values {
                assert!(description.contains(&format!("`{value}`")), "{schema}.{field}: {value}");
            }
        }
    }
}
