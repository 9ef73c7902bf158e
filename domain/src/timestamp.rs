use std::{
    fmt,
    str::FromStr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Milliseconds since the Unix epoch (UTC). RFC 3339 text in JSON, a number in the log.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

/// The last millisecond that RFC 3339 can express: years have four digits.
const MAX_MILLIS: u64 = 253_402_300_799_999;

/// Why a text is not a timestamp.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseTimestampError {
    /// It is not RFC 3339.
    #[error(transparent)]
    Format(#[from] time::error::Parse),
    /// It is after the year 9999 in UTC.
    #[error("a time is in the year 9999 at the latest, in UTC")]
    TooLate,
}

impl Timestamp {
    /// Creates a timestamp from milliseconds since the Unix epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The time `by` later, saturating at the maximum.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
    }

    /// The duration since `earlier`; zero if that is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// A time before the Unix epoch becomes the epoch.
impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        Self::default().plus(time.duration_since(UNIX_EPOCH).unwrap_or_default())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Text that cannot be formatted would panic wherever it is needed.
        let millis = self.0.min(MAX_MILLIS);
        let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH);
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            time.year(),
            u8::from(time.month()),
            time.day(),
            time.hour(),
            time.minute(),
            time.second(),
            time.millisecond()
        )
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0)
    }
}

impl FromStr for Timestamp {
    type Err = ParseTimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let time = OffsetDateTime::parse(text, &Rfc3339)?;
        let millis = u64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
        if millis > MAX_MILLIS { Err(ParseTimestampError::TooLate) } else { Ok(Self(millis)) }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_u64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            text.parse().map_err(de::Error::custom)
        } else {
            u64::deserialize(deserializer).map(Self)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_formatted_as_rfc_3339_utc() {
        let time = Timestamp::from_millis(1_795_232_096_007);
        assert_eq!(time.to_string(), "2026-11-21T03:34:56.007Z");
        assert_eq!(time.to_string().parse(), Ok(time));
        assert_eq!("2026-11-21T04:34:56.007+01:00".parse(), Ok(time));
    }

    #[test]
    fn every_time_can_be_formatted_and_none_is_accepted_that_cannot_be() {
        let last = Timestamp::from_millis(MAX_MILLIS);
        assert_eq!(last.to_string(), "9999-12-31T23:59:59.999Z");
        assert_eq!(last.to_string().parse(), Ok(last));
        // The next year in UTC.
        let late = "9999-12-31T23:59:59-23:59".parse::<Timestamp>();
        assert_eq!(late, Err(ParseTimestampError::TooLate));
        for millis in [MAX_MILLIS + 1, u64::MAX] {
            assert_eq!(Timestamp::from_millis(millis).to_string(), last.to_string());
            assert!(serde_json::to_value(Timestamp::from_millis(millis)).is_ok());
        }
    }
}
