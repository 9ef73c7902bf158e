use rmpv::Value;

use crate::CodecError;

/// Version of the format that decisions are written in. Version 0 has the same format.
pub(crate) const SCHEMA: u32 = 1;

/// Converts a stored decision of a category (`job`) from the version of the format that it was
/// written in to the present one. Its personal fields are decrypted; the paths that authenticate
/// them are those of the stored form.
///
/// A change of an event that a default or an alias of serde cannot express is made here: increase
/// [`SCHEMA`] and convert the older version by its category.
///
/// # Errors
/// When a newer version of ffapi wrote it.
pub(crate) fn upcast(_category: &str, schema: u64, decision: Value) -> Result<Value, CodecError> {
    if schema > u64::from(SCHEMA) {
        return Err(CodecError::Unreadable(format!(
            "its format has version {schema}, and this version of ffapi reads up to {SCHEMA}"
        )));
    }
    Ok(decision)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_zero_and_one_are_the_present_format_and_newer_ones_are_unreadable() {
        let decision = Value::Map(vec![("tenant".into(), "acme".into())]);
        for schema in [0, 1] {
            assert_eq!(upcast("job", schema, decision.clone()).unwrap(), decision);
        }
        let error = upcast("job", 2, decision).unwrap_err();
        assert!(error.to_string().contains("version 2"), "{error}");
    }
}
