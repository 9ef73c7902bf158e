//! The AsyncAPI document of the events that are sent over NATS, by webhooks and in streams. It is
//! generated from the event catalogue, against which a test checks the published events.

use ffapi_domain::catalogue::{EVENTS, EventKind};
use serde_json::{Map, Value, json};

/// The JSON Schema of an event's `data`.
fn data(event: &EventKind) -> Value {
    let mut properties: Map<String, Value> = Map::new();
    properties.insert(event.of.to_owned(), json!({ "type": "string" }));
    for field in event.fields {
        let kind = if field.optional { json!([field.kind, "null"]) } else { json!(field.kind) };
        properties.insert(field.name.to_owned(), json!({ "type": kind }));
    }
    let required = event.fields.iter().filter(|field| !field.optional).map(|field| field.name);
    json!({
        "type": "object",
        "properties": properties,
        "required": required.collect::<Vec<_>>(),
    })
}

/// The whole document.
pub(crate) fn document() -> Value {
    let (mut messages, mut schemas, mut channels) = (Map::new(), Map::new(), Map::new());
    for event in EVENTS {
        let name = event.name.replace('.', "_");
        let schema = format!("#/components/schemas/{name}");
        schemas.insert(name.clone(), data(event));
        messages.insert(
            name.clone(),
            json!({
                "name": event.name,
                "title": event.says,
                "contentType": "application/json",
                "payload": {
                    "type": "object",
                    "description": "A CloudEvent over NATS; `type`, `timestamp` and `data` in a \
                                    webhook; `type`, `time` and `data` in a stream.",
                    "properties": {
                        "type": { "const": event.name },
                        "data": { "$ref": schema },
                    },
                    "required": ["type", "data"],
                },
            }),
        );
        let (resource, action) = event.name.split_once('.').unwrap_or(("event", event.name));
        if matches!(resource, "job" | "batch") {
            channels.insert(
                name.clone(),
                json!({
                    "address": format!("live.{{tenant}}.{resource}.{{id}}.{action}"),
                    "description": event.says,
                    "parameters": {
                        "tenant": { "description": "The tenant" },
                        "id": { "description": "The job's or batch's id" },
                    },
                    "messages": { name.clone(): { "$ref": format!("#/components/messages/{name}") } },
                }),
            );
        }
    }
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "ffapi",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Events of an account's jobs, batches, keys and webhooks. Job and \
                            batch events are published on NATS subjects as CloudEvents; all of \
                            them are in the account's feed (GET /events) and can be sent to \
                            webhooks.",
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "components": { "messages": messages, "schemas": schemas },
    })
}
