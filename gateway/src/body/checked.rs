//! JSON as it comes in: every string of it is looked at, and no object names a field twice.

use std::{cell::RefCell, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_path_to_error::{Segment, Track};

use super::pointer;
use crate::{
    problem::{Kind, Problem},
    text::Rule,
};

/// Why a value is not taken, where it is JSON.
enum Flaw {
    /// A string of it.
    Text(String),
    /// A field's name.
    Name(String),
    /// It stands there a second time: readers differ on which of the two counts.
    Twice,
}

/// Reads a body, or says where it is wrong.
pub(super) fn read(bytes: &[u8]) -> Result<Value, Problem> {
    let found = RefCell::new(None);
    let (mut json, mut track) = (serde_json::Deserializer::from_slice(bytes), Track::new());
    let tracked = serde_path_to_error::Deserializer::new(&mut json, &mut track);
    let seed = Checked { rule: Rule::Line, twice: false, found: &found };
    let value = seed.deserialize(tracked).and_then(|value| json.end().map(|()| value));
    value.map_err(|error| {
        let path: Vec<Segment> = track.path().iter().cloned().collect();
        let at = format!("#{}", pointer(path.iter()));
        match found.take() {
            Some(Flaw::Text(detail)) => Problem::field(Kind::Invalid, &at, detail),
            // Its object is pointed at: the name itself is what cannot be shown.
            Some(Flaw::Name(detail)) => {
                let named = matches!(path.last(), Some(Segment::Map { .. }));
                let parents = path.len().saturating_sub(named.into());
                let at = format!("#{}", pointer(path.iter().take(parents)));
                Problem::field(Kind::Invalid, &at, format!("the name of a field: {detail}"))
            }
            Some(Flaw::Twice) => {
                let detail = "this field is given twice";
                Problem::field(Kind::Malformed, &at, detail)
            }
            None => {
                Problem::field(Kind::Malformed, &at, format!("the body is not valid JSON: {error}"))
            }
        }
    })
}

/// A value; what is wrong with it is kept beside serde's own error.
#[derive(Clone, Copy)]
struct Checked<'f> {
    rule: Rule,
    /// It is the second one of its name.
    twice: bool,
    found: &'f RefCell<Option<Flaw>>,
}

impl Checked<'_> {
    fn refuse<E: Error>(self, flaw: Flaw) -> E {
        *self.found.borrow_mut() = Some(flaw);
        E::custom("refused")
    }
}

impl<'de> DeserializeSeed<'de> for Checked<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        if self.twice {
            return Err(self.refuse(Flaw::Twice));
        }
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
            Some(flaw) => Err(self.refuse(Flaw::Text(flaw))),
            None => Ok(text.into()),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = all.next_element_seed(self)? {
            items.push(item);
        }
        Ok(items.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut all: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(name) = all.next_key_seed(Name(self))? {
            let (rule, twice) = (self.rule.within(&name), fields.contains_key(&name));
            let value = all.next_value_seed(Checked { rule, twice, ..self })?;
            fields.insert(name, value);
        }
        Ok(fields.into())
    }
}

/// The name of a field.
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
        match Rule::Line.flaw(name) {
            Some(flaw) => Err(self.0.refuse(Flaw::Name(flaw))),
            None => Ok(name.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kind and pointer of a refusal.
    fn refusal(text: &str) -> (u16, String) {
        let problem = read(text.as_bytes()).unwrap_err();
        let status = poem::error::ResponseError::status(&problem).as_u16();
        (status, problem.pointers().next().unwrap().to_owned())
    }

    #[test]
    fn what_is_fine_comes_through_as_it_is() {
        let text =
            r#"{"a":[1,-2,2.5,null,true,"x"],"metadata":{"note":"a\n\tb"},"description":"a\r\nb"}"#;
        let plain: Value = serde_json::from_str(text).unwrap();
        assert_eq!(read(text.as_bytes()).unwrap(), plain);
    }

    #[test]
    fn a_string_that_is_not_taken_is_pointed_at_however_deep() {
        let text = r#"{"operations":[{},{"type":"subtitles","language":"a\u0000b"}]}"#;
        assert_eq!(refusal(text), (422, "#/operations/1/language".to_owned()));
        assert_eq!(refusal(r#"{"a/b":{"c~d":"\u0007"}}"#), (422, "#/a~1b/c~0d".to_owned()));
        assert_eq!(refusal(r#""\u0000""#), (422, "#".to_owned()));
        assert_eq!(refusal(r#"{"a":{"b\u0000":1}}"#), (422, "#/a".to_owned()));
        let long = format!(r#"{{"a":["{}"]}}"#, "x".repeat(1 << 20));
        assert_eq!(refusal(&long), (422, "#/a/0".to_owned()));
    }

    #[test]
    fn half_a_surrogate_and_a_raw_control_character_are_no_json_and_pointed_at() {
        assert_eq!(refusal(r#"{"a":{"b":"\ud800"}}"#), (400, "#/a/b".to_owned()));
        assert_eq!(refusal("{\"a\":[\"\0\"]}"), (400, "#/a/0".to_owned()));
        assert_eq!(refusal("{\"a\":1"), (400, "#".to_owned()));
        assert_eq!(refusal("{} x").0, 400);
    }

    #[test]
    fn a_field_that_stands_there_twice_is_refused_at_every_depth() {
        assert_eq!(refusal(r#"{"a":1,"a":2}"#), (400, "#/a".to_owned()));
        assert_eq!(refusal(r#"{"a":[{"b":{"c":1,"\u0063":1}}]}"#), (400, "#/a/0/b/c".to_owned()));
    }
}
