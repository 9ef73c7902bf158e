//! Stored names of an enum's variants, as its `Deserialize` implementation requests them.

use std::fmt;

use serde::{
    de::{Deserialize, Deserializer, Error, Visitor},
    forward_to_deserialize_any,
};

/// The stored names of an enum's variants, in declaration order.
pub(crate) fn cases<E: for<'de> Deserialize<'de>>() -> &'static [&'static str] {
    let Err(Cases(cases)) = E::deserialize(VariantProbe) else { return &[] };
    cases
}

/// A deserializer that reads nothing: it returns the expected variant names as an error.
struct VariantProbe;

/// The names, as an error.
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

impl<'de> Deserializer<'de> for VariantProbe {
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
