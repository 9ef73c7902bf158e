//! Error messages about JSON values: those of parsers name types of Rust, which a client does not know.

/// The names of types in parsers' messages, and what they mean in JSON.
const TYPES: [(&str, &str); 16] = [
    ("a map", "an object"),
    ("map", "an object"),
    ("a sequence", "an array"),
    ("sequence", "an array"),
    ("unit value", "null"),
    ("unit", "null"),
    ("null", "null"),
    ("u8", "a whole number from 0 to 255"),
    ("u16", "a whole number from 0 to 65535"),
    ("u32", "a whole number, 0 or more"),
    ("u64", "a whole number, 0 or more"),
    ("usize", "a whole number, 0 or more"),
    ("i32", "a whole number"),
    ("i64", "a whole number"),
    ("f32", "a number"),
    ("f64", "a number"),
];

/// The message of serde for a value that does not fit.
pub(crate) fn plain(message: &str) -> String {
    let of = |prefix: &str| message.strip_prefix(prefix)?.split_once(", expected ");
    if let Some((found, wanted)) = of("invalid type: ").or_else(|| of("invalid value: ")) {
        return format!("expected {}, not {}", wanted_type(wanted), found_value(found));
    }
    if let Some((_, wanted)) = of("invalid length ") {
        return format!("expected {}, with another number of elements", wanted_type(wanted));
    }
    if let Some((found, wanted)) = of("unknown variant ") {
        return format!("{found} is not {wanted}");
    }
    if let Some((found, wanted)) = of("unknown field ") {
        let verb = if wanted.contains(',') || wanted.contains(" or ") { "are" } else { "is" };
        let wanted = wanted.trim_start_matches("one of ").replace(" or ", " and ");
        return format!("there is no field {found} here; there {verb} {wanted}");
    }
    message.to_owned()
}

/// The message of the framework for a parameter that cannot be read.
pub(crate) fn of_parameter(message: &str) -> &'static str {
    if message.contains("integer") {
        "expected a whole number, 0 or more"
    } else if message.contains("boolean") {
        "expected true or false"
    } else {
        "the value cannot be read"
    }
}

fn wanted_type(text: &str) -> &str {
    if text.starts_with("struct ") {
        return "an object";
    }
    TYPES.iter().find(|(name, _)| *name == text).map_or(text, |(_, meaning)| meaning)
}

/// A value as serde describes it: a type, or a type and the value in quotes.
fn found_value(text: &str) -> String {
    for kind in ["integer ", "floating point ", "boolean "] {
        if let Some(value) = text.strip_prefix(kind) {
            return value.to_owned();
        }
    }
    if let Some(value) = text.strip_prefix("string ") {
        return format!("the text {value}");
    }
    wanted_type(text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_speak_of_json_and_not_of_the_parser() {
        for (message, expected) in [
            ("invalid type: map, expected a string", "expected a string, not an object"),
            ("invalid type: sequence, expected a map", "expected an object, not an array"),
            ("invalid type: null, expected u32", "expected a whole number, 0 or more, not null"),
            (
                "invalid type: floating point `1.5`, expected u64",
                "expected a whole number, 0 or more, not `1.5`",
            ),
            (
                "invalid value: integer `-1`, expected u8",
                "expected a whole number from 0 to 255, not `-1`",
            ),
            ("invalid type: string \"x\", expected f64", "expected a number, not the text \"x\""),
            (
                "invalid type: string \"x\", expected struct ConvertBody",
                "expected an object, not the text \"x\"",
            ),
            (
                "unknown variant `high!`, expected one of `low`, `normal`, `high`",
                "`high!` is not one of `low`, `normal`, `high`",
            ),
            ("unknown variant `x`, expected `aes-128`", "`x` is not `aes-128`"),
            (
                "unknown field `outptu`, expected one of `input`, `output`",
                "there is no field `outptu` here; there are `input`, `output`",
            ),
            (
                "unknown field `a`, expected `b` or `c`",
                "there is no field `a` here; there are `b` and `c`",
            ),
            ("unknown field `a`, expected `b`", "there is no field `a` here; there is `b`"),
            ("missing field `input`", "missing field `input`"),
            ("a time looks like 2026-11-21T12:00:00Z", "a time looks like 2026-11-21T12:00:00Z"),
        ] {
            assert_eq!(plain(message), expected);
        }
    }
}
