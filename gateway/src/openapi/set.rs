use serde_json::{Value, json};

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
