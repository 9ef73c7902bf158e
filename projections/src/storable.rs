//! Converts values to what Postgres can store. All values pass through here before they are
//! written.
//!
//! An event may contain any text and any JSON, for example from an older version, from the report
//! of a media child, or from another writer to NATS. Postgres accepts no NUL in `text` and `jsonb`,
//! and JSON that is nested too deeply could not be read back. Such values are replaced
//! deterministically, so that a rebuilt read model equals the served one.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::error::Flaw;

/// Replaces a NUL.
const REPLACEMENT: &str = "\u{fffd}";
/// Maximum nesting of a document. JSON can be parsed down to 128 levels.
const MAX_DEPTH: usize = 100;

/// A text as it is stored in a column.
pub(crate) fn text(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', REPLACEMENT).into() } else { text.into() }
}

/// Like [`text`], for an optional value.
pub(crate) fn optional(value: Option<&str>) -> Option<Cow<'_, str>> {
    value.map(text)
}

/// Serializes a value as it is stored in a `jsonb` column.
pub(crate) fn document<T: Serialize>(value: &T) -> Result<Value, Flaw> {
    let value = serde_json::to_value(value);
    value.map(json).map_err(|_| Flaw::Invalid("it is no JSON"))
}

/// A JSON value as it is stored in a column.
pub(crate) fn json(mut value: Value) -> Value {
    sanitize(&mut value, 0);
    value
}

fn sanitize(value: &mut Value, depth: usize) {
    match value {
        Value::String(held) if held.contains('\0') => *held = held.replace('\0', REPLACEMENT),
        Value::Array(_) | Value::Object(_) if depth >= MAX_DEPTH => *value = Value::Null,
        Value::Array(items) => {
            for item in items {
                sanitize(item, depth.saturating_add(1));
            }
        }
        Value::Object(fields) => {
            for field in fields.values_mut() {
                sanitize(field, depth.saturating_add(1));
            }
            if fields.keys().any(|name| name.contains('\0')) {
                let old = std::mem::take(fields).into_iter();
                *fields = old
                    .map(|(name, field)| (text(&name).into_owned(), field))
                    .collect::<Map<_, _>>();
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_nul_characters_are_replaced_in_texts_values_and_names() {
        assert_eq!(text("a\0b"), "a\u{fffd}b");
        assert_eq!(text("a\n\u{1}b"), "a\n\u{1}b");
        let kept = json!({ "n": 1.5, "deep": [null, true, { "x": "y\t" }] });
        assert_eq!(json(kept.clone()), kept);
        let sanitized = json(json!({ "a\0": ["\0", { "b": "\0\0" }] }));
        assert_eq!(sanitized, json!({ "a\u{fffd}": ["\u{fffd}", { "b": "\u{fffd}\u{fffd}" }] }));
    }

    #[test]
    fn deep_nesting_is_cut_so_that_it_can_be_parsed() {
        let nested = |levels| (0..levels).fold(json!(1), |inner, _| json!([inner]));
        assert_eq!(json(nested(MAX_DEPTH)), nested(MAX_DEPTH));
        let cut = json(nested(1_000));
        let read: Value = serde_json::from_str(&cut.to_string()).unwrap();
        assert_eq!(read, cut);
    }
}
