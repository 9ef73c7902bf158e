//! What the generated schemas and parameters leave open: the values that a field may have, times, the
//! shape of metadata, and the size of pages.

use serde_json::{Value, json};

use super::set;

/// The values of fields: schema, field, values. A test checks each against the field's description.
#[rustfmt::skip]
const VALUES: &[(&str, &str, &[&str])] = &[
    ("Account", "status", &["open", "closing", "erased"]),
    ("Account", "tier", TIERS),
    ("AccountPatch", "tier", TIERS),
    ("Attempt", "outcome", &["completed", "failed", "abandoned", "cancelled"]),
    ("Batch", "status", &["processing", "completed", "partial_success", "failed", "cancelled"]),
    ("BatchRequest", "priority", PRIORITIES),
    ("Delivery", "status", &["due", "delivered", "failed"]),
    ("Estimated", "pool", POOLS),
    ("Filter", "name", &[
        "denoise", "deinterlace", "stabilize", "sharpen", "blur", "brightness", "contrast",
        "saturation", "hue", "eq", "tonemap",
    ]),
    ("Flip", "axis", &["horizontal", "vertical", "both"]),
    ("Hardware", "prefer", POOLS),
    ("Job", "kind", KINDS),
    ("Job", "overwrite", &["fail", "replace"]),
    ("Job", "priority", PRIORITIES),
    ("Job", "status", STATUSES),
    ("JobError", "retry_hint", &["retry", "no_retry"]),
    ("JobSummary", "kind", KINDS),
    ("JobSummary", "priority", PRIORITIES),
    ("JobSummary", "status", STATUSES),
    ("Key", "status", &["active", "expired", "revoked"]),
    ("PresetCreate", "kind", KINDS),
    ("Scale", "mode", &["fit", "fill", "stretch"]),
    ("StreamPoster", "format", IMAGES),
    ("StreamRequest", "segment_format", &["fmp4", "ts"]),
    ("StreamRequest", "segments", &["files", "single_file"]),
    ("StreamRequest", "type", &["hls", "dash", "cmaf"]),
    ("StreamRequest", "video_codec", &["h264", "hevc"]),
    ("StreamSprite", "format", IMAGES),
    ("Subtitles", "mode", &["burn", "embed", "sidecar"]),
    ("ThumbnailsRequest", "format", &["jpeg", "png", "webp", "gif"]),
    ("ThumbnailsRequest", "mode", &["single", "interval", "count", "grid", "sprite", "animated"]),
    ("Transcode", "audio_codec", &[
        "aac", "mp3", "opus", "vorbis", "ac3", "flac", "pcm", "copy", "none",
    ]),
    ("Transcode", "video_codec", &[
        "h264", "hevc", "vp8", "vp9", "av1", "prores", "gif", "mjpeg", "png", "webp", "copy", "none",
    ]),
    ("Validated", "pool", POOLS),
    ("Watermark", "position", &[
        "top_left", "top", "top_right", "left", "center", "right", "bottom_left", "bottom",
        "bottom_right",
    ]),
    ("Webhook", "disabled_by", &["owner", "gone", "failing"]),
    ("Webhook", "status", &["enabled", "disabled"]),
];

const IMAGES: &[&str] = &["jpeg", "png", "webp"];
const KINDS: &[&str] = &["convert", "stream", "thumbnails", "analyze", "probe"];
const POOLS: &[&str] = &["cpu", "vaapi", "nvenc", "qsv"];
const PRIORITIES: &[&str] = &["low", "normal", "high"];
const STATUSES: &[&str] = &["queued", "processing", "completed", "failed", "cancelled"];
const TIERS: &[&str] = &["free", "basic", "premium", "enterprise"];

/// Completes the schemas of the whole document.
pub(super) fn describe(document: &mut Value) {
    let schemas = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut);
    let Some(schemas) = schemas else { return };
    for (schema, field, values) in VALUES {
        let property = schemas.get_mut(*schema).and_then(|schema| schema.get_mut("properties"));
        if let Some(property) = property.and_then(|properties| properties.get_mut(*field)) {
            set(property, &["enum"], json!(values));
        }
    }
    for (name, schema) in schemas {
        if name.ends_with("Request") {
            require_what_no_preset_supplies(schema);
        }
        let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
        for (name, property) in properties.into_iter().flatten() {
            complete(name, property);
        }
    }
}

/// A request with a preset need not have the fields that the preset supplies.
fn require_what_no_preset_supplies(schema: &mut Value) {
    if schema.pointer("/properties/preset").is_none() {
        return;
    }
    let required = schema.get_mut("required").and_then(Value::as_array_mut);
    if let Some(required) = required {
        required.retain(|field| *field == "input" || *field == "output");
    }
}

fn complete(name: &str, property: &mut Value) {
    let is_untyped = property.get("type").is_none() && property.get("$ref").is_none();
    if name.ends_with("_at") && property["type"] == "string" {
        set(property, &["format"], "date-time".into());
    }
    if name == "metadata" && is_untyped {
        set(property, &["type"], "object".into());
        set(property, &["additionalProperties"], json!({ "type": "string" }));
    }
}

/// Says how many entries a page has, by the id of the operation that lists them.
pub(super) fn describe_limit(operation: &str, parameter: &mut Value) {
    let (least, most, default) = match operation {
        "getEvents" | "getJobLogs" => (1, 1_000, 100),
        "getQueue" => (0, 1_000, 50),
        _ => (1, 200, 50),
    };
    set(parameter, &["schema", "minimum"], least.into());
    set(parameter, &["schema", "maximum"], most.into());
    set(parameter, &["schema", "default"], default.into());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_is_one_that_the_description_names() {
        let document = super::super::document(&crate::server::generated());
        for (schema, field, values) in VALUES {
            let property = &document["components"]["schemas"][schema]["properties"][field];
            assert_eq!(&json!(values), &property["enum"], "{schema}.{field}");
            let description = property["description"].as_str().unwrap_or_default();
            for value in *values {
                assert!(description.contains(&format!("`{value}`")), "{schema}.{field}: {value}");
            }
        }
    }
}
