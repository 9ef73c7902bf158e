//! Settings that are times: a text with units, like `30s`, `5m`, `1h 30m` or `250ms`, or a number in the
//! unit that the setting has without one, also as a text.
//!
//! A module for each of these units is used as `#[serde(with = "duration_setting::seconds")]`; all of them
//! write the text.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// The unit of a setting without one.
#[derive(Debug, Clone, Copy)]
enum Unit {
    Milliseconds,
    Seconds,
    Days,
}

/// A time as it is written.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected a time like \"30s\", \"5m\" or \"250ms\", or a whole number"
)]
enum Written {
    Number(u64),
    Text(String),
}

/// A list as it is written: as environment variables have it, it is a text with commas, or one time.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected a list of times like \"30s\", \"5m\" or \"250ms\", or of whole numbers"
)]
enum WrittenList {
    List(Vec<Written>),
    Number(u64),
    Text(String),
}

impl Unit {
    const fn name(self) -> &'static str {
        match self {
            Self::Milliseconds => "milliseconds",
            Self::Seconds => "seconds",
            Self::Days => "days",
        }
    }

    const fn of(self, number: u64) -> Duration {
        match self {
            Self::Milliseconds => Duration::from_millis(number),
            Self::Seconds => Duration::from_secs(number),
            Self::Days => Duration::from_secs(number.saturating_mul(24 * 3_600)),
        }
    }

    fn parse(self, text: &str) -> Result<Duration, String> {
        let text = text.trim();
        if let Ok(number) = text.parse() {
            return Ok(self.of(number));
        }
        humantime::parse_duration(text).map_err(|_| {
            let unit = self.name();
            format!(
                "`{text}` is not a time; write it like `30s`, `5m`, `1h 30m` or `250ms`, or as a number of {unit}"
            )
        })
    }

    fn read(self, written: &Written) -> Result<Duration, String> {
        match written {
            Written::Number(number) => Ok(self.of(*number)),
            Written::Text(text) => self.parse(text),
        }
    }

    fn read_list(self, written: &WrittenList) -> Result<Vec<Duration>, String> {
        match written {
            WrittenList::List(list) => list.iter().map(|written| self.read(written)).collect(),
            WrittenList::Number(number) => Ok(vec![self.of(*number)]),
            WrittenList::Text(text) => {
                let entries = text.split(',').filter(|entry| !entry.trim().is_empty());
                entries.map(|entry| self.parse(entry)).collect()
            }
        }
    }
}

/// A time with its units, as the settings are written.
pub fn text(time: Duration) -> String {
    humantime::format_duration(time).to_string()
}

macro_rules! units {
    ($($(#[$doc:meta])* $module:ident: $unit:ident;)+) => {
        $($(#[$doc])* pub mod $module {
            use super::{Deserialize, Deserializer, Duration, Error, Serialize, Serializer, Unit, Written, text};

            /// Writes a time with its units.
            ///
            /// # Errors
            /// When the serializer fails.
            pub fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
                text(*time).serialize(to)
            }

            /// Reads a time, with units or without one.
            ///
            /// # Errors
            /// When it is none.
            pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
                Unit::$unit.read(&Written::deserialize(from)?).map_err(Error::custom)
            }
        })+
    };
}

units! {
    /// A time; milliseconds without a unit.
    milliseconds: Milliseconds;
    /// A time; seconds without a unit.
    seconds: Seconds;
    /// A time; days without a unit.
    days: Days;
}

/// A list of times, each in seconds without a unit; also a text with commas.
pub mod seconds_each {
    use super::{Deserialize, Deserializer, Duration, Error, Serializer, Unit, WrittenList, text};

    /// Writes a list of times with their units.
    ///
    /// # Errors
    /// When the serializer fails.
    pub fn serialize<S: Serializer>(times: &[Duration], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(times.iter().map(|time| text(*time)))
    }

    /// Reads a list of times.
    ///
    /// # Errors
    /// When an entry is none.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Duration>, D::Error> {
        Unit::Seconds.read_list(&WrittenList::deserialize(from)?).map_err(Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn in_seconds(value: Value) -> Result<Duration, String> {
        seconds::deserialize(value).map_err(|error| error.to_string())
    }

    #[test]
    fn a_time_has_its_units_or_that_of_the_setting() {
        let minutes = |value| (in_seconds(value), Ok(Duration::from_mins(90)));
        for value in [json!("90m"), json!("1h 30m"), json!("1h30m"), json!(5400), json!("5400")] {
            let (read, expected) = minutes(value.clone());
            assert_eq!(read, expected, "{value}");
        }
        assert_eq!(in_seconds(json!("250ms")), Ok(Duration::from_millis(250)));
        assert_eq!(in_seconds(json!(0)), Ok(Duration::ZERO));
        assert_eq!(milliseconds::deserialize(json!(250)).unwrap(), Duration::from_millis(250));
        assert_eq!(milliseconds::deserialize(json!("5s")).unwrap(), Duration::from_secs(5));
        assert_eq!(days::deserialize(json!(7)).unwrap(), Duration::from_hours(7 * 24));
        assert_eq!(days::deserialize(json!("12h")).unwrap(), Duration::from_hours(12));
    }

    #[test]
    fn what_is_no_time_is_an_error_that_says_what_would_be_one() {
        for value in [json!(""), json!("soon"), json!("-5s"), json!(-5), json!(1.5), json!([5])] {
            let error = in_seconds(value.clone()).unwrap_err();
            assert!(error.contains("30s") && error.contains("number"), "{value}: {error}");
        }
        assert!(in_seconds(json!("5 years ago")).unwrap_err().contains("a number of seconds"));
    }

    #[test]
    fn a_list_is_a_list_or_a_text_with_commas() {
        let read = |value: Value| seconds_each::deserialize(value).map_err(|e| e.to_string());
        let expected = Ok(vec![Duration::from_secs(5), Duration::from_mins(5)]);
        for value in [
            json!([5, 300]),
            json!(["5s", "5m"]),
            json!(["5", 300]),
            json!("5s, 5m"),
            json!("5,300"),
        ] {
            assert_eq!(read(value.clone()), expected, "{value}");
        }
        assert_eq!(read(json!(5)), Ok(vec![Duration::from_secs(5)]));
        assert_eq!(read(json!("")), Ok(vec![]));
        assert!(read(json!(["5s", "x"])).is_err());
    }

    #[test]
    fn what_is_written_is_read_as_the_same_time() {
        for time in [Duration::ZERO, Duration::from_millis(5_250), Duration::from_hours(7 * 24)] {
            let written = seconds::serialize(&time, serde_json::value::Serializer).unwrap();
            assert!(written.is_string());
            assert_eq!(in_seconds(written), Ok(time));
        }
        let times = [Duration::from_secs(5), Duration::from_hours(2)];
        let written = seconds_each::serialize(&times, serde_json::value::Serializer).unwrap();
        assert_eq!(written, json!(["5s", "2h"]));
    }
}
