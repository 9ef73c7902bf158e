//! The types, descriptions and examples that are not in the code: details.json names them by schema and
//! field, by field, by operation and parameter, or by parameter; the most specific one counts.

use std::{collections::BTreeMap, sync::LazyLock};

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::set::set;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Details {
    /// Parts of schemas.
    types: BTreeMap<String, Map<String, Value>>,
    descriptions: BTreeMap<String, String>,
    examples: BTreeMap<String, Value>,
    parameters: BTreeMap<String, Parameter>,
    /// Examples of request bodies: by operation, and by what they do.
    bodies: BTreeMap<String, BTreeMap<String, Value>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameter {
    description: Option<String>,
    example: Option<Value>,
}

/// The file as it is compiled in; that it can be read is tested.
static DETAILS: LazyLock<Details> =
    LazyLock::new(|| serde_json::from_str(include_str!("details.json")).unwrap_or_default());

/// What a schema or parameter has where it needs no example.
const ANSWERS: [&str; 5] = ["examples", "example", "const", "enum", "default"];

fn find<'a, T>(map: &'a BTreeMap<String, T>, of: &str, field: &str) -> Option<&'a T> {
    map.get(&format!("{of}.{field}")).or_else(|| map.get(field))
}

/// Completes the schemas.
pub(super) fn describe_schemas(document: &mut Value) {
    let schemas = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut);
    for (name, schema) in schemas.into_iter().flatten() {
        if schema.get("description").is_none()
            && let Some(text) = DETAILS.descriptions.get(name)
        {
            set(schema, &["description"], text.as_str().into());
        }
        describe_properties(name, schema);
    }
}

/// Completes the properties of a schema, and those of its parts and items.
fn describe_properties(name: &str, schema: &mut Value) {
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    for (field, property) in properties.into_iter().flatten() {
        describe_property(name, field, property);
        describe_properties(name, property);
    }
    if let Some(items) = schema.get_mut("items") {
        describe_properties(name, items);
    }
    let parts = schema.get_mut("allOf").and_then(Value::as_array_mut);
    for part in parts.into_iter().flatten() {
        describe_properties(name, part);
    }
}

fn describe_property(schema: &str, field: &str, property: &mut Value) {
    for (key, value) in DETAILS.types.get(&format!("{schema}.{field}")).into_iter().flatten() {
        set(property, &[key], value.clone());
    }
    if property.get("description").is_none()
        && let Some(text) = find(&DETAILS.descriptions, schema, field)
    {
        set(property, &["description"], text.as_str().into());
    }
    let is_answered = |key: &str| property.get(key).is_some();
    if !ANSWERS.iter().any(|key| is_answered(key))
        && !is_answered("$ref")
        && let Some(example) = find(&DETAILS.examples, schema, field)
    {
        set(property, &["examples"], json!([example]));
    }
}

/// Completes the parameters and the body of an operation.
pub(super) fn describe_operation(operation: &mut Value) {
    let id = operation["operationId"].as_str().unwrap_or_default().to_owned();
    let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
    for parameter in parameters.into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap_or_default().to_owned();
        let Some(found) = find(&DETAILS.parameters, &id, &name) else { continue };
        if let Some(text) = &found.description {
            set(parameter, &["description"], text.as_str().into());
        }
        let has =
            |key: &str| parameter.get(key).is_some() || parameter["schema"].get(key).is_some();
        if !ANSWERS.iter().any(|key| has(key))
            && let Some(example) = &found.example
        {
            set(parameter, &["example"], example.clone());
        }
    }
    let Some(examples) = DETAILS.bodies.get(&id) else { return };
    let body = operation.pointer_mut("/requestBody/content/application~1json");
    if let Some(body) = body {
        let named = examples
            .iter()
            .map(|(summary, value)| (key(summary), json!({ "summary": summary, "value": value })));
        set(body, &["examples"], Value::Object(named.collect()));
    }
}

/// The key of an example: its summary in lower case, with `-` between words.
fn key(summary: &str) -> String {
    let words = summary.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Value {
        super::super::document(&crate::server::generated())
    }

    #[test]
    fn the_details_are_read() {
        let read: Result<Details, _> = serde_json::from_str(include_str!("details.json"));
        assert!(!read.unwrap().examples.is_empty());
    }

    /// The properties of a schema, and those of its parts and items.
    fn properties(schema: &Value) -> Vec<(&String, &Value)> {
        let own = schema["properties"].as_object().into_iter().flatten();
        let nested = own.clone().flat_map(|(_, property)| properties(property));
        let parts = schema["allOf"].as_array().into_iter().flatten().flat_map(properties);
        let items = schema.get("items").into_iter().flat_map(properties);
        own.chain(nested).chain(parts).chain(items).collect()
    }

    #[test]
    fn every_property_has_a_type_a_description_and_an_example() {
        let document = document();
        let mut missing = Vec::new();
        for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
            for (field, property) in properties(schema) {
                let has = |keys: &[&str]| keys.iter().any(|key| property.get(*key).is_some());
                if !has(&["type", "$ref", "oneOf", "anyOf", "allOf", "enum", "const"]) {
                    missing.push(format!("{name}.{field}: type"));
                }
                if !has(&["description"]) {
                    missing.push(format!("{name}.{field}: description"));
                }
                if !has(&[&ANSWERS[..], &["$ref"]].concat()) {
                    missing.push(format!("{name}.{field}: example"));
                }
            }
        }
        assert!(missing.is_empty(), "add to details.json: {missing:#?}");
    }

    /// Whether a value is of a type of JSON Schema.
    fn is_of(value: &Value, wanted: &Value) -> bool {
        match wanted {
            Value::Array(types) => types.iter().any(|wanted| is_of(value, wanted)),
            Value::String(name) => match name.as_str() {
                "integer" => value.is_u64() || value.is_i64(),
                "number" => value.is_number(),
                "string" => value.is_string(),
                "boolean" => value.is_boolean(),
                "array" => value.is_array(),
                "object" => value.is_object(),
                _ => value.is_null(),
            },
            _ => true,
        }
    }

    #[test]
    fn every_example_is_of_the_type_of_its_property() {
        let document = document();
        let mut wrong = Vec::new();
        for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
            for (field, property) in properties(schema) {
                let examples = property["examples"].as_array().into_iter().flatten();
                if !examples.into_iter().all(|example| is_of(example, &property["type"])) {
                    wrong.push(format!("{name}.{field}: {}", property["examples"]));
                }
            }
        }
        assert!(wrong.is_empty(), "change in details.json: {wrong:#?}");
    }

    #[test]
    fn every_parameter_and_json_body_has_an_example() {
        let document = document();
        let mut missing = Vec::new();
        let paths = document["paths"].as_object().unwrap();
        for operation in paths.values().flat_map(|path| path.as_object().unwrap().values()) {
            let id = operation["operationId"].as_str().unwrap();
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let has = |key: &str| {
                    parameter.get(key).is_some() || parameter["schema"].get(key).is_some()
                };
                if !ANSWERS.iter().any(|key| has(key)) {
                    missing.push(format!("{id}.{}", parameter["name"]));
                }
            }
            let body = operation.pointer("/requestBody/content/application~1json");
            if body.is_some_and(|body| body.get("examples").is_none()) {
                missing.push(id.to_owned());
            }
        }
        assert!(missing.is_empty(), "add to details.json: {missing:#?}");
    }

    /// A detail of something that is no longer there.
    #[test]
    fn every_detail_belongs_to_something() {
        let document = document();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let is_field = |key: &str| {
            if let Some((schema, field)) = key.split_once('.') {
                let has = |schema| properties(schema).iter().any(|(name, _)| *name == field);
                return schemas.get(schema).is_some_and(has);
            }
            let mut all = schemas.values().flat_map(properties);
            schemas.contains_key(key) || all.any(|(name, _)| name == key)
        };
        let fields = DETAILS.types.keys().chain(DETAILS.descriptions.keys());
        let fields = fields.chain(DETAILS.examples.keys());
        let unused: Vec<&String> = fields.filter(|key| !is_field(key)).collect();
        assert!(unused.is_empty(), "{unused:?}");
    }
}
