//! The body of a job whose kind is one of its fields.

use serde_json::{Value, json};

use super::set::set;

/// The schema that each kind's own POST has.
const KINDS: [(&str, &str); 5] = [
    ("convert", "ConvertRequest"),
    ("stream", "StreamRequest"),
    ("thumbnails", "ThumbnailsRequest"),
    ("analyze", "AnalyzeRequest"),
    ("probe", "ProbeRequest"),
];

/// The generated schema of the jobs of a batch has its name.
const NAME: &str = "/components/schemas/BatchJobRequest/properties/name";

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// Describes the kinds of jobs as a union with `kind` as its discriminator, for a batch with names.
pub(super) fn describe(document: &mut Value) {
    let name = document.pointer(NAME).cloned().unwrap_or_default();
    // Every union is generated as an object, also one with a text.
    for union in ["InputLocation", "OutputLocation"] {
        let schema = document.pointer_mut(&format!("/components/schemas/{union}"));
        schema.and_then(Value::as_object_mut).and_then(|schema| schema.remove("type"));
    }
    let text = "A job with its `kind`: the body of that kind's POST.";
    describe_union(document, "AnyJobRequest", text, &json!({}));
    let text = "A job with its `kind`, and a `name` if other jobs of the batch read its outputs.";
    describe_union(document, "BatchJobRequest", text, &json!({ "name": name }));
}

/// Describes the kinds of jobs, each with further fields, as the schema of this name.
fn describe_union(document: &mut Value, union: &str, description: &str, fields: &Value) {
    let mut schema = |name: &str, schema: Value| {
        set(document, &["components", "schemas", name], schema);
    };
    for (kind, body) in KINDS {
        let mut fields = fields.clone();
        set(&mut fields, &["kind"], json!({ "type": "string", "const": kind }));
        let of_kind = json!({
            "allOf": [
                { "type": "object", "required": ["kind"], "properties": fields },
                reference(body),
            ],
        });
        schema(&format!("{union}_{kind}"), of_kind);
    }
    let names = KINDS.map(|(kind, _)| (kind, format!("{union}_{kind}")));
    let mapping: serde_json::Map<String, Value> = names
        .iter()
        .map(|(kind, name)| ((*kind).to_owned(), format!("#/components/schemas/{name}").into()))
        .collect();
    let kinds = json!({
        "description": description,
        "oneOf": names.iter().map(|(_, name)| reference(name)).collect::<Vec<_>>(),
        "discriminator": { "propertyName": "kind", "mapping": mapping },
    });
    schema(union, kinds);
}
