//! Parses JSON from a request: checks every string, and rejects duplicate fields.

use std::{
    cell::{Cell, RefCell},
    fmt,
};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_path_to_error::{Segment, Track};

use super::pointer::pointer;
use crate::{
    problem::{Kind, Problem},
    text::Rule,
};

/// Why valid JSON is rejected.
enum Flaw {
    /// A string is not allowed.
    Text(String),
    /// The name of a field is not allowed.
    Name(String),
    /// A field is given twice: parsers differ on which of the two counts.
    Duplicate,
    /// The values would take too much memory.
    Size,
}

/// Maximum memory of the values of a body in bytes, in addition to their strings. Otherwise a body
/// of many small values could take a hundred times its size.
const MAX_MEMORY: usize = 16 * 1024 * 1024;
/// Memory of one value in bytes, and what an object or array takes in addition, even if it is
/// empty.
const VALUE: usize = 32;
const CONTAINER: usize = 640;

/// Field names that `serde_json` gives a meaning of their own: it parses the text of such a field as JSON,
/// at any depth, without these checks.
const SERDE_PREFIX: &str = "$serde_json::";

/// Parses a body; an error points at the value.
pub(super) fn read(bytes: &[u8]) -> Result<Value, Problem> {
    let (found, memory) = (RefCell::new(None), Cell::new(0));
    let (mut json, mut track) = (serde_json::Deserializer::from_slice(bytes), Track::new());
    let tracked = serde_path_to_error::Deserializer::new(&mut json, &mut track);
    let seed = Checked { rule: Rule::Line, duplicate: false, found: &found, memory: &memory };
    let value = seed.deserialize(tracked).and_then(|value| json.end().map(|()| value));
    value.map_err(|error| {
        let path: Vec<Segment> = track.path().iter().cloned().collect();
        let at = format!("#{}", pointer(path.iter()));
        match found.take() {
            Some(Flaw::Text(detail)) => Problem::field(Kind::Invalid, &at, detail),
            // Points at the object, because the name itself cannot be shown.
            Some(Flaw::Name(detail)) => {
                let named = matches!(path.last(), Some(Segment::Map { .. }));
                let parents = path.len().saturating_sub(named.into());
                let at = format!("#{}", pointer(path.iter().take(parents)));
                Problem::field(Kind::Invalid, &at, format!("the name of a field: {detail}"))
            }
            Some(Flaw::Duplicate) => {
                let detail = "this field is given twice";
                Problem::field(Kind::Malformed, &at, detail)
            }
            Some(Flaw::Size) => {
                let detail = "the body has too many fields and items: send several requests";
                Problem::field(Kind::TooLarge, &at, detail)
            }
            None => {
                let (line, column) = (error.line(), error.column());
                let detail =
                    format!("the body is not valid JSON, from line {line}, column {column}");
                Problem::field(Kind::Malformed, &at, detail)
            }
        }
    })
}

/// Deserializes a value; what is wrong with it is stored in `found`, next to serde's own error.
#[derive(Clone, Copy)]
struct Checked<'f> {
    rule: Rule,
    /// True if its field was given before.
    duplicate: bool,
    found: &'f RefCell<Option<Flaw>>,
    /// Memory of the values so far, in bytes.
    memory: &'f Cell<usize>,
}

impl Checked<'_> {
    /// Counts the memory of a value.
    fn count<E: Error>(self, bytes: usize) -> Result<(), E> {
        self.memory.set(self.memory.get().saturating_add(bytes));
        if self.memory.get() > MAX_MEMORY { Err(self.reject(Flaw::Size)) } else { Ok(()) }
    }

    fn reject<E: Error>(self, flaw: Flaw) -> E {
        *self.found.borrow_mut() = Some(flaw);
        E::custom("rejected")
    }
}

impl<'de> DeserializeSeed<'de> for Checked<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        if self.duplicate {
            return Err(self.reject(Flaw::Duplicate));
        }
        self.count(VALUE)?;
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Checked<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        match self.rule.flaw(text) {
            Some(flaw) => Err(self.reject(Flaw::Text(flaw))),
            None => Ok(text.into()),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Value, A::Error> {
        // An array takes less memory than an object.
        self.count(CONTAINER / 4)?;
        let mut items = Vec::new();
        while let Some(item) = all.next_element_seed(self)? {
            items.push(item);
        }
        Ok(items.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut all: A) -> Result<Value, A::Error> {
        self.count(CONTAINER)?;
        let mut fields = Map::new();
        while let Some(name) = all.next_key_seed(Name(self))? {
            let (rule, duplicate) = (self.rule.within(&name), fields.contains_key(&name));
            let value = all.next_value_seed(Checked { rule, duplicate, ..self })?;
            fields.insert(name, value);
        }
        Ok(fields.into())
    }
}

/// Deserializes the name of a field.
struct Name<'f>(Checked<'f>);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<String, D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<String, E> {
        if name.starts_with(SERDE_PREFIX) {
            return Err(self.0.reject(Flaw::Name("it is reserved".to_owned())));
        }
        match Rule::Line.flaw(name) {
            Some(flaw) => Err(self.0.reject(Flaw::Name(flaw))),
            None => Ok(name.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Status and pointer of the error.
    fn rejection(text: &str) -> (u16, String) {
        let problem = read(text.as_bytes()).unwrap_err();
        let status = poem::error::ResponseError::status(&problem).as_u16();
        (status, problem.pointers().next().unwrap().to_owned())
    }

    #[test]
    fn valid_json_is_parsed_unchanged() {
        let text =
            r#"{"a":[1,-2,2.5,null,true,"x"],"metadata":{"note":"a\n\tb"},"description":"a\r\nb"}"#;
        let plain: Value = serde_json::from_str(text).unwrap();
        assert_eq!(read(text.as_bytes()).unwrap(), plain);
    }

    #[test]
    fn names_with_a_meaning_for_the_parser_are_rejected_however_they_are_written() {
        for name in ["$serde_json::private::RawValue", "\\u0024serde_json::private::Number"] {
            let text = format!(r#"{{"a":{{"b":[{{"{name}":"[[1]]"}}]}}}}"#);
            assert_eq!(rejection(&text), (422, "#/a/b/0".to_owned()), "{name}");
        }
    }

    #[test]
    fn a_rejected_string_is_pointed_at_at_every_depth() {
        let text = r#"{"operations":[{},{"type":"subtitles","language":"a\u0000b"}]}"#;
        assert_eq!(rejection(text), (422, "#/operations/1/language".to_owned()));
        assert_eq!(rejection(r#"{"a/b":{"c~d":"\u0007"}}"#), (422, "#/a~1b/c~0d".to_owned()));
        assert_eq!(rejection(r#""\u0000""#), (422, "#".to_owned()));
        assert_eq!(rejection(r#"{"a":{"b\u0000":1}}"#), (422, "#/a".to_owned()));
        let long = format!(r#"{{"a":["{}"]}}"#, "x".repeat(1 << 20));
        assert_eq!(rejection(&long), (422, "#/a/0".to_owned()));
    }

    #[test]
    fn lone_surrogates_and_raw_control_characters_are_malformed_and_pointed_at() {
        assert_eq!(rejection(r#"{"a":{"b":"\ud800"}}"#), (400, "#/a/b".to_owned()));
        assert_eq!(rejection("{\"a\":[\"\0\"]}"), (400, "#/a/0".to_owned()));
        assert_eq!(rejection("{\"a\":1"), (400, "#".to_owned()));
        assert_eq!(rejection("{} x").0, 400);
    }

    #[test]
    fn the_memory_of_a_body_is_bounded() {
        let nested = format!("{}0{}", r#"{"":"#.repeat(100), "}".repeat(100));
        let body = |items: usize| format!("[{}]", vec![nested.as_str(); items].join(","));
        assert!(read(body(200).as_bytes()).is_ok());
        assert_eq!(rejection(&body(6_000)).0, 413);
        assert_eq!(rejection(&format!("[{}]", vec!["[]"; 200_000].join(","))).0, 413);
        // The largest batch with a dozen operations in each job is accepted.
        let job = format!(r#"{{"operations":[{}]}}"#, [r#"{"a":1,"b":2}"#; 12].join(","));
        let batch = format!("[{}]", vec![job.as_str(); 1_000].join(","));
        assert!(read(batch.as_bytes()).is_ok());
    }

    #[test]
    fn a_duplicate_field_is_rejected_at_every_depth() {
        assert_eq!(rejection(r#"{"a":1,"a":2}"#), (400, "#/a".to_owned()));
        assert_eq!(rejection(r#"{"a":[{"b":{"c":1,"\u0063":1}}]}"#), (400, "#/a/0/b/c".to_owned()));
    }
}
