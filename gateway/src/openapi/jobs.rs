//! The body of a job whose kind is one of its fields.

use serde_json::{Value, json};

use super::set;

/// The schema that each kind's own POST has.
const KINDS: [(&str, &str); 5] = [
    ("convert", "ConvertRequest"),
    ("stream", "StreamRequest"),
    ("thumbnails", "ThumbnailsRequest"),
    ("analyze", "AnalyzeRequest"),
    ("probe", "ProbeRequest"),
];

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// Describes the kinds of jobs as a union with `kind` as its discriminator.
pub(super) fn describe(document: &mut Value) {
    let mut schema = |name: &str, schema: Value| {
        set(document, &["components", "schemas", name], schema);
    };
    for (kind, body) in KINDS {
        let of_kind = json!({
            "allOf": [
                {
                    "type": "object",
                    "required": ["kind"],
                    "properties": { "kind": { "type": "string", "const": kind } },
                },
                reference(body),
            ],
        });
        schema(&format!("AnyJobRequest_{kind}"), of_kind);
    }
    let names = KINDS.map(|(kind, _)| (kind, format!("AnyJobRequest_{kind}")));
    let mapping: serde_json::Map<String, Value> = names
        .iter()
        .map(|(kind, name)| ((*kind).to_owned(), format!("#/components/schemas/{name}").into()))
        .collect();
    let union = json!({
        "description": "A job with its `kind`: the body of that kind's POST.",
        "oneOf": names.iter().map(|(_, name)| reference(name)).collect::<Vec<_>>(),
        "discriminator": { "propertyName": "kind", "mapping": mapping },
    });
    schema("AnyJobRequest", union);
}
