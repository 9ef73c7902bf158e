//! Media requests as clients send them, and their conversion to domain types.

mod input_location;
mod operation;
mod output_location;
pub(crate) mod value;

use ffapi_domain::media::{MediaRequest, Overwrite};
use poem_openapi::Enum;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub(crate) use self::{
    input_location::InputLocation,
    operation::{OperationJson, operations, show as show_operation},
    output_location::{OutputLocation, overwrite_at},
};

/// What to do if the output already exists.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case", rename = "Overwrite")]
pub(crate) enum OverwriteWord {
    Fail,
    Replace,
}

/// The overwrite policy of a request; the default is never to replace.
pub(crate) const fn overwrite(word: Option<OverwriteWord>) -> Overwrite {
    match word {
        None | Some(OverwriteWord::Fail) => Overwrite::Fail,
        Some(OverwriteWord::Replace) => Overwrite::Replace,
    }
}

/// Fields of a plan that are times in microseconds, at any depth.
const PLAN_TIMES: [&str; 13] = [
    "choice", "decoded", "delay", "duration", "end", "fade_in", "fill", "hold", "length", "seek",
    "segment", "start", "times",
];

/// A plan as the API shows it: with times in seconds.
pub(crate) fn show_plan(mut plan: Value) -> Value {
    let in_seconds = |micros: &mut Value| {
        if let Some(number) = micros.as_f64() {
            *micros = json!(number / 1_000_000.0);
        }
    };
    match &mut plan {
        Value::Object(fields) => {
            for (name, value) in fields.iter_mut() {
                if PLAN_TIMES.contains(&name.as_str()) {
                    in_seconds(value);
                    value.as_array_mut().into_iter().flatten().for_each(in_seconds);
                }
                *value = show_plan(value.take());
            }
        }
        Value::Array(all) => all.iter_mut().for_each(|one| *one = show_plan(one.take())),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    plan
}

/// A job's parsed request without its input and output.
pub(crate) fn show_request(request: &MediaRequest) -> Value {
    let mut shown = match request {
        MediaRequest::Convert(_) | MediaRequest::Probe(_) => json!({}),
        MediaRequest::Analyze(analyze) => json!(analyze),
        MediaRequest::Thumbnails(thumbnails) => json!(thumbnails),
        MediaRequest::Stream(stream) => json!(stream),
    };
    operation::in_seconds(&mut shown);
    if let Some(fields) = shown.as_object_mut() {
        for (stored, asked) in [
            ("preset", "encoder_preset"),
            ("packaging", "type"),
            ("segments", "segment_format"),
            ("layout", "segments"),
        ] {
            if let Some(value) = fields.remove(stored) {
                fields.insert(asked.to_owned(), value);
            }
        }
        if fields.remove("encrypted") == Some(Value::Bool(true)) {
            fields.insert("encryption".to_owned(), "aes-128".into());
        }
        for part in ["poster", "sprite"] {
            if let Some(part) = fields.get_mut(part) {
                operation::in_seconds(part);
            }
        }
        for other in ["input", "output", "overwrite"] {
            fields.remove(other);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_a_plan_are_in_seconds() {
        let plan = json!({
            "duration": 5_312_000, "seek": null, "audio": [{ "bitrate": 128_000, "filters": [
                { "trim": { "start": 1_000_000, "end": 2_500_000 } }, { "fade_in": 500_000 } ] }],
            "poster": { "times": [0, 1_000_000] },
        });
        let expected = json!({
            "duration": 5.312, "seek": null, "audio": [{ "bitrate": 128_000, "filters": [
                { "trim": { "start": 1.0, "end": 2.5 } }, { "fade_in": 0.5 } ] }],
            "poster": { "times": [0.0, 1.0] },
        });
        assert_eq!(show_plan(plan), expected);
    }
}
