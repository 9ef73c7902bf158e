use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, DeserializeOwned, Visitor},
    ser,
};

/// MessagePack extension type of a plaintext personal value, before the log's codec encrypts it.
pub const PERSONAL_EXT: i8 = 1;
/// MessagePack extension type of a personal value whose data key was deleted.
pub const ERASED_EXT: i8 = 3;

/// A personal value: readable, or erased for good once its tenant's data key is deleted.
///
/// In the log it is a MessagePack extension, which the codec finds and encrypts; every reader must
/// accept `Erased`. In JSON it is the value, or `null`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Personal<T> {
    /// Still readable.
    Clear(T),
    /// Unreadable: its data key was deleted.
    #[default]
    Erased,
}

impl<T> Personal<T> {
    /// The value, if it is still readable.
    pub const fn as_ref(&self) -> Option<&T> {
        match self {
            Self::Clear(value) => Some(value),
            Self::Erased => None,
        }
    }
}

impl<T> From<T> for Personal<T> {
    fn from(value: T) -> Self {
        Self::Clear(value)
    }
}

impl<T> fmt::Debug for Personal<T> {
    /// Never prints the value: personal data does not belong in traces.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clear(_) => "Personal(..)",
            Self::Erased => "Personal(erased)",
        })
    }
}

/// rmp-serde's name for a newtype that is written as an extension.
const EXT_STRUCT: &str = "_ExtStruct";

struct Bytes<'a>(&'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl<T: Serialize> Serialize for Personal<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Clear(value) if serializer.is_human_readable() => value.serialize(serializer),
            Self::Erased if serializer.is_human_readable() => serializer.serialize_none(),
            Self::Clear(value) => {
                // JSON inside, so that the plaintext bytes need no schema of their own.
                let bytes = serde_json::to_vec(value).map_err(ser::Error::custom)?;
                serializer.serialize_newtype_struct(EXT_STRUCT, &(PERSONAL_EXT, Bytes(&bytes)))
            }
            Self::Erased => {
                serializer.serialize_newtype_struct(EXT_STRUCT, &(ERASED_EXT, Bytes(&[])))
            }
        }
    }
}

struct ExtVisitor<T>(PhantomData<T>);

impl<'de, T: DeserializeOwned> Visitor<'de> for ExtVisitor<T> {
    type Value = Personal<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a personal value")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
        d.deserialize_any(self)
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let missing = || de::Error::custom("a personal value needs a type and bytes");
        let tag: i8 = seq.next_element()?.ok_or_else(missing)?;
        let bytes: ExtBytes = seq.next_element()?.ok_or_else(missing)?;
        match tag {
            PERSONAL_EXT => {
                serde_json::from_slice(&bytes.0).map(Personal::Clear).map_err(de::Error::custom)
            }
            ERASED_EXT => Ok(Personal::Erased),
            other => Err(de::Error::custom(format!("extension {other} was not decrypted"))),
        }
    }
}

struct ExtBytes(Vec<u8>);

impl<'de> Deserialize<'de> for ExtBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BytesVisitor;
        impl Visitor<'_> for BytesVisitor {
            type Value = ExtBytes;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E: de::Error>(self, v: &[u8]) -> Result<ExtBytes, E> {
                Ok(ExtBytes(v.to_vec()))
            }
        }
        deserializer.deserialize_bytes(BytesVisitor)
    }
}

/// Deserialises a field that was stored in the clear before it became personal: accepts both forms.
pub(crate) fn once_clear<'de, D: Deserializer<'de>>(from: D) -> Result<Personal<String>, D::Error> {
    struct Either;
    impl<'de> Visitor<'de> for Either {
        type Value = Personal<String>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a text, personal or not")
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
            Ok(Personal::Clear(text.to_owned()))
        }
        fn visit_newtype_struct<D: Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
            d.deserialize_any(ExtVisitor(PhantomData))
        }
    }
    if from.is_human_readable() {
        Personal::deserialize(from)
    } else {
        from.deserialize_any(Either)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Personal<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let value = Option::<T>::deserialize(deserializer)?;
            Ok(value.map_or(Self::Erased, Self::Clear))
        } else {
            deserializer.deserialize_newtype_struct(EXT_STRUCT, ExtVisitor(PhantomData))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(value: &Personal<String>) -> Personal<String> {
        let bytes = rmp_serde::to_vec_named(value).unwrap();
        rmp_serde::from_slice(&bytes).unwrap()
    }

    #[test]
    fn a_personal_value_round_trips_through_messagepack() {
        for value in [Personal::Clear("holiday.mp4".to_owned()), Personal::Erased] {
            assert_eq!(round_trip(&value), value);
        }
    }

    #[test]
    fn in_json_it_is_the_value_or_null() {
        let clear = Personal::Clear("holiday.mp4".to_owned());
        assert_eq!(serde_json::to_string(&clear).unwrap(), "\"holiday.mp4\"");
        assert_eq!(serde_json::to_string(&Personal::<String>::Erased).unwrap(), "null");
    }

    #[test]
    fn debug_never_prints_the_value() {
        assert_eq!(format!("{:?}", Personal::Clear("secret")), "Personal(..)");
    }
}
