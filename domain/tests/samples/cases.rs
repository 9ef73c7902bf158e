//! What the cases of an enum are called where they are stored, as its `Deserialize` has it.

use std::fmt;

use serde::{
    de::{Deserialize, Deserializer, Error, Visitor},
    forward_to_deserialize_any,
};

/// The stored names of an enum's cases, in the order of declaration.
pub(crate) fn cases<E: for<'de> Deserialize<'de>>() -> &'static [&'static str] {
    let Err(Cases(cases)) = E::deserialize(Ask) else { return &[] };
    cases
}

/// Reads nothing: it answers with the names of what was to be read.
struct Ask;

/// The names, in the place of an error.
#[derive(Debug)]
struct Cases(&'static [&'static str]);

impl fmt::Display for Cases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl std::error::Error for Cases {}

impl Error for Cases {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self(&[])
    }
}

impl<'de> Deserializer<'de> for Ask {
    type Error = Cases;

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        cases: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Cases> {
        Err(Cases(cases))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Cases> {
        Err(Cases(&[]))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}
