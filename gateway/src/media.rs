//! Media requests as clients send them, and their conversion to domain types.

mod operation;
pub(crate) mod value;

use ffapi_domain::media::{MediaRequest, Overwrite};
use poem_openapi::Enum;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub(crate) use self::operation::{OperationJson, operations, show as show_operation};

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
