//! Parts of the document, and how they are changed.

use serde_json::{Value, json};

use crate::problem::Kind;

/// Sets a field at a path; the objects on the way are made where they are missing.
pub(super) fn set(value: &mut Value, path: &[&str], new: Value) {
    let Some((field, rest)) = path.split_first() else {
        *value = new;
        return;
    };
    if !value.is_object() {
        *value = json!({});
    }
    if let Some(fields) = value.as_object_mut() {
        set(fields.entry(*field).or_insert(Value::Null), rest, new);
    }
}

/// An operation of the document; none if there is no such path or method.
pub(super) fn operation_at<'a>(
    document: &'a mut Value,
    path: &str,
    method: &str,
) -> Option<&'a mut Value> {
    document.get_mut("paths")?.get_mut(path)?.get_mut(method)
}

/// The parameters of an operation, of which there may be none yet.
pub(super) fn parameters_of(operation: &mut Value) -> Option<&mut Vec<Value>> {
    let none = json!([]);
    operation.as_object_mut()?.entry("parameters").or_insert(none).as_array_mut()
}

/// The name of a problem's response among the components, like `RateLimited`.
pub(super) fn response_name(kind: Kind) -> String {
    format!("{kind:?}")
}
