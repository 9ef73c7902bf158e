//! What the generated schemas and parameters leave open: times, the shape of metadata, and the size of
//! pages.

use serde_json::{Value, json};

use super::{set::set, values};

/// Completes the schemas of the whole document.
pub(super) fn describe(document: &mut Value) {
    let schemas = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut);
    let Some(schemas) = schemas else { return };
    values::describe(schemas);
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
