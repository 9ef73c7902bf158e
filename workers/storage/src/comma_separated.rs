use std::{fmt::Display, str::FromStr};

use serde::{Deserialize, Deserializer, de::Error};

/// Reads a setting that is a list: as a list, or as a text with commas, as environment variables have
/// it.
///
/// # Errors
/// When an entry is invalid.
pub fn comma_separated<'de, D, T>(from: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Text(String),
        List(Vec<String>),
    }
    let entries = match Either::deserialize(from)? {
        Either::List(list) => list,
        Either::Text(text) => {
            let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
            entries.map(str::to_owned).collect()
        }
    };
    entries.iter().map(|entry| entry.parse().map_err(Error::custom)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_is_a_list_or_a_text_with_commas() {
        let read =
            |value: serde_json::Value| comma_separated::<_, u8>(value).map_err(|e| e.to_string());
        assert_eq!(read(json!("1, 2,3")), Ok(vec![1, 2, 3]));
        assert_eq!(read(json!(["1", "2"])), Ok(vec![1, 2]));
        assert_eq!(read(json!("")), Ok(vec![]));
        assert!(read(json!("1,x")).is_err());
    }
}
