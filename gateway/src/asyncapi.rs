//! The AsyncAPI document of the events that are sent over NATS, by webhooks and in streams. It is
//! generated from the event catalogue, against which a test checks the published events.

use ffapi_domain::catalogue::{EVENTS, EventKind};
use serde_json::{Map, Value, json};

/// The JSON Schema of an event's `data`.
pub(crate) fn data(event: &EventKind) -> Value {
    let mut properties: Map<String, Value> = Map::new();
    properties.insert(event.of.to_owned(), json!({ "type": "string" }));
    for field in event.fields {
        let kind = if field.optional { json!([field.kind, "null"]) } else { json!(field.kind) };
        let mut property = json!({ "type": kind });
        if field.kind == "array"
            && let Some(property) = property.as_object_mut()
        {
            property.insert("items".to_owned(), json!({}));
        }
        properties.insert(field.name.to_owned(), property);
    }
    let required = event.fields.iter().filter(|field| !field.optional).map(|field| field.name);
    json!({
        "type": "object",
        "properties": properties,
        "required": required.collect::<Vec<_>>(),
    })
}

/// The channels that carry events of every kind, over HTTP.
fn streams(messages: &Map<String, Value>) -> Map<String, Value> {
    let reference =
        |name: &String| (name.clone(), json!({ "$ref": format!("#/components/messages/{name}") }));
    let all: Map<String, Value> = messages.keys().map(reference).collect();
    let id = json!({ "id": { "description": "The job's or batch's id" } });
    let over_http = json!([{ "$ref": "#/servers/http" }]);
    let mut channels = Map::new();
    for (name, address, text) in [
        ("feed", "/api/v1/events", "The account's events, as server-sent events."),
        ("job", "/api/v1/jobs/{id}/events", "A job's events, as server-sent events."),
        ("batch", "/api/v1/batch/{id}/events", "The events of a batch and its jobs."),
    ] {
        let parameters = if address.contains("{id}") { id.clone() } else { json!({}) };
        let channel = json!({
            "address": address, "description": text, "servers": over_http,
            "parameters": parameters, "messages": all,
        });
        channels.insert(name.to_owned(), channel);
    }
    let text = "A subscribed endpoint, by POST, signed as Standard Webhooks 1.0.0 says.";
    let webhook = json!({ "address": null, "description": text, "messages": all });
    channels.insert("webhook".to_owned(), webhook);
    channels
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
        let (resource, _) = event.name.split_once('.').unwrap_or(("event", event.name));
        if matches!(resource, "job" | "batch") {
            channels.insert(
                name.clone(),
                json!({
                    "address": ffapi_nats::subject::live_event("{tenant}", "{id}", event.name),
                    "description": event.says,
                    "parameters": {
                        "tenant": { "description": "The tenant" },
                        "id": { "description": "The job's or batch's id" },
                    },
                    "servers": [{ "$ref": "#/servers/nats" }],
                    "messages": { name.clone(): { "$ref": format!("#/components/messages/{name}") } },
                }),
            );
        }
    }
    channels.extend(streams(&messages));
    let operations: Map<String, Value> = channels
        .iter()
        .map(|(name, channel)| {
            let operation = json!({
                "action": "send",
                "channel": { "$ref": format!("#/channels/{name}") },
                "summary": channel["description"],
            });
            (format!("send_{name}"), operation)
        })
        .collect();
    json!({
        "asyncapi": "3.1.0",
        "info": {
            "title": "ffapi",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Events of an account's jobs, batches, keys and webhooks. Job and \
                            batch events are published on NATS subjects as CloudEvents; all of \
                            them are in the account's feed (GET /events) and can be sent to \
                            webhooks.",
        },
        "defaultContentType": "application/json",
        "servers": {
            "http": {
                "host": "{host}", "protocol": "http",
                "description": "Server-sent events of the HTTP API.",
                "variables": { "host": { "default": "127.0.0.1:8080" } },
            },
            "nats": {
                "host": "{host}", "protocol": "nats",
                "description": "Subjects that a tenant's own programs may subscribe to, with a user of \
                                `ffapi nats user`.",
                "variables": { "host": { "default": "127.0.0.1:4222" } },
            },
        },
        "operations": operations,
        "channels": channels,
        "components": { "messages": messages, "schemas": schemas },
    })
}
