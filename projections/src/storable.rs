//! What Postgres can hold of what the log can: the one place where values become columns.
//!
//! An event holds any text and any JSON: those of yesterday, of a child's report, of whoever may write to
//! NATS. Postgres takes no NUL in `text` and `jsonb`, and what is nested too deeply could not be read back.
//! Each such value becomes one that can be held, and always the same one, so that a read model that is
//! built anew equals the one that is served.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::error::Flaw;

/// In the place of a NUL.
const REPLACEMENT: &str = "\u{fffd}";
/// Levels of a document. JSON is read back to 128.
const DEEPEST: usize = 100;

/// A text as a column holds it.
pub(crate) fn text(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', REPLACEMENT).into() } else { text.into() }
}

/// The same of a text that there need not be.
pub(crate) fn some(there: Option<&str>) -> Option<Cow<'_, str>> {
    there.map(text)
}

/// Something as a `jsonb` column holds it.
pub(crate) fn document<T: Serialize>(of: &T) -> Result<Value, Flaw> {
    let value = serde_json::to_value(of);
    value.map(json).map_err(|_| Flaw::Senseless("it is no JSON"))
}

/// A JSON value as a column holds it.
pub(crate) fn json(mut value: Value) -> Value {
    mend(&mut value, 0);
    value
}

fn mend(value: &mut Value, depth: usize) {
    match value {
        Value::String(held) if held.contains('\0') => *held = held.replace('\0', REPLACEMENT),
        Value::Array(_) | Value::Object(_) if depth >= DEEPEST => *value = Value::Null,
        Value::Array(items) => {
            for item in items {
                mend(item, depth.saturating_add(1));
            }
        }
        Value::Object(fields) => {
            for field in fields.values_mut() {
                mend(field, depth.saturating_add(1));
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
    fn a_nul_is_replaced_in_texts_values_and_names_and_nothing_else_is_changed() {
        assert_eq!(text("a\0b"), "a\u{fffd}b");
        assert_eq!(text("a\n\u{1}b"), "a\n\u{1}b");
        let kept = json!({ "n": 1.5, "deep": [null, true, { "x": "y\t" }] });
        assert_eq!(json(kept.clone()), kept);
        let mended = json(json!({ "a\0": ["\0", { "b": "\0\0" }] }));
        assert_eq!(mended, json!({ "a\u{fffd}": ["\u{fffd}", { "b": "\u{fffd}\u{fffd}" }] }));
    }

    #[test]
    fn what_is_nested_too_deeply_ends_where_it_can_be_read_back() {
        let nested = |levels| (0..levels).fold(json!(1), |inner, _| json!([inner]));
        assert_eq!(json(nested(DEEPEST)), nested(DEEPEST));
        let cut = json(nested(1_000));
        let read: Value = serde_json::from_str(&cut.to_string()).unwrap();
        assert_eq!(read, cut);
    }
}
