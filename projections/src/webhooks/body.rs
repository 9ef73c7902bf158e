//! The body of a delivery.

use ffapi_domain::PublicEvent;
use ffapi_nats::Position;
use serde_json::{Value, json};

use crate::public_message::PublicMessage;

/// The size of a request body in bytes above which it lists fewer outputs: many receivers accept no more
/// than 64 KiB.
const MAX_BODY: usize = 60 * 1024;

/// The request body, which is signed and sent. `position` is that of the event in the log.
pub(super) fn body(public: &PublicMessage, event: &PublicEvent, position: Position) -> String {
    let mut data = event.data.clone();
    if let Some(data) = data.as_object_mut() {
        data.insert(public.field.to_owned(), Value::String(public.thing.clone()));
    }
    let position = position.to_string();
    loop {
        let whole = json!({ "type": event.kind, "timestamp": public.at, "position": position, "data": &data });
        let text = whole.to_string();
        if text.len() <= MAX_BODY || !halve_outputs(&mut data) {
            return text;
        }
    }
}

/// Removes half of the listed outputs, whose number stays in `outputs_total`; false if there are none.
fn halve_outputs(data: &mut Value) -> bool {
    let Some(data) = data.as_object_mut() else { return false };
    let Some(outputs) = data.get_mut("outputs").and_then(Value::as_array_mut) else { return false };
    let count = outputs.len();
    outputs.truncate(count / 2);
    data.entry("outputs_total").or_insert_with(|| count.into());
    count > 0
}

#[cfg(test)]
mod tests {
    use ffapi_domain::Timestamp;
    use ffapi_nats::Actor;

    use super::*;

    #[test]
    fn a_body_lists_as_many_outputs_as_receivers_accept() {
        let public = PublicMessage {
            field: "job_id",
            thing: "job_1".to_owned(),
            at: Timestamp::from_millis(0),
            actor: Actor::Process("worker".to_owned()),
            traceparent: None,
            events: vec![],
            callback: None,
        };
        let position = Position { epoch: 1, sequence: 1, index: 0 };
        let output = json!({ "location": "x".repeat(1_000) });
        let sent = |count: usize| {
            let data = json!({ "outputs": vec![output.clone(); count], "attempt": 1 });
            let event = PublicEvent { kind: "job.outputs_sealed", data, terminal: false };
            body(&public, &event, position)
        };
        let (short, long) = (sent(50), sent(100));
        let read = |text: &str| serde_json::from_str::<Value>(text).unwrap()["data"].clone();
        assert_eq!(read(&short)["outputs"].as_array().unwrap().len(), 50);
        assert!(read(&short).get("outputs_total").is_none());
        assert!(long.len() <= MAX_BODY);
        assert_eq!(read(&long)["outputs"].as_array().unwrap().len(), 50);
        assert_eq!(
            (&read(&long)["outputs_total"], &read(&long)["job_id"]),
            (&json!(100), &json!("job_1"))
        );
    }
}
