use bytes::Bytes;
use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::LogError;

/// A message of a stream with everything that a backup keeps of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its stream sequence.
    pub sequence: u64,
    /// Its subject.
    pub subject: String,
    /// When it was stored for the first time, in milliseconds since 1970 UTC: a restore keeps it.
    pub at: u64,
    /// Its headers, except those that instruct the server.
    pub headers: Vec<(String, String)>,
    /// Its payload.
    pub payload: Bytes,
}

/// The header of a restored message with the time at which the original was stored.
pub(crate) const STORED_AT_HEADER: &str = "Ffapi-Stored-At";
/// The prefix of headers that instruct the server, or that it adds.
const SERVER_HEADERS: &str = "Nats-";

impl Record {
    /// Parses the response to a direct get.
    pub(crate) fn from_direct(response: async_nats::Message) -> Result<Self, LogError> {
        let missing =
            |what: &str| LogError::Corrupt(format!("a direct get response without {what}"));
        let headers = response.headers.unwrap_or_default();
        let header = |name: &str| headers.get(name).map(|value| value.as_str().to_owned());
        let sequence = header("Nats-Sequence").and_then(|text| text.parse().ok());
        let original = header(STORED_AT_HEADER).and_then(|text| text.parse().ok());
        let stored = || header("Nats-Time-Stamp").and_then(|text| milliseconds(&text));
        let kept = headers.iter().flat_map(|(name, values)| {
            let name: &str = name.as_ref();
            let pairs = values.iter().map(|value| (name.to_owned(), value.as_str().to_owned()));
            pairs.filter(|(name, _)| is_kept(name))
        });
        let mut kept: Vec<_> = kept.collect();
        // The client's map has no order.
        kept.sort();
        Ok(Self {
            sequence: sequence.ok_or_else(|| missing("sequence"))?,
            subject: header("Nats-Subject").ok_or_else(|| missing("subject"))?,
            at: original.or_else(stored).ok_or_else(|| missing("time"))?,
            headers: kept,
            payload: response.payload,
        })
    }

    /// A message as the leader of its stream returns it: its time is in RFC 3339, its headers are a
    /// block of NATS' protocol.
    pub(crate) fn from_leader(
        sequence: u64,
        subject: String,
        time: &str,
        headers: &str,
        payload: Bytes,
    ) -> Result<Self, LogError> {
        let pairs = headers.lines().skip(1).filter_map(|line| line.split_once(':'));
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
        let (mut kept, others): (Vec<_>, Vec<_>) = pairs.partition(|(name, _)| is_kept(name));
        let original = others.iter().find(|(name, _)| name == STORED_AT_HEADER);
        let original = original.and_then(|(_, value)| value.parse().ok());
        let missing = || LogError::Corrupt("a stored message without time".to_owned());
        let at = original.or_else(|| milliseconds(time)).ok_or_else(missing)?;
        kept.sort();
        Ok(Self { sequence, subject, at, headers: kept, payload })
    }
}

/// Whether a backup keeps a header.
fn is_kept(name: &str) -> bool {
    !name.starts_with(SERVER_HEADERS) && name != STORED_AT_HEADER
}

fn milliseconds(text: &str) -> Option<u64> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    u64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_the_leader_keeps_its_own_headers_and_its_first_time() {
        let record = |headers: &str| {
            let time = "1970-01-01T00:00:01Z";
            Record::from_leader(7, "ev.a".to_owned(), time, headers, Bytes::new()).unwrap()
        };
        let stored = record("NATS/1.0\r\nNats-Msg-Id: 1\r\nKV-Operation: DEL\r\nA: b: c\r\n\r\n");
        let kept = [("A", "b: c"), ("KV-Operation", "DEL")];
        assert_eq!(stored.headers, kept.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(stored.at, 1000);
        assert_eq!(record("NATS/1.0\r\nFfapi-Stored-At: 5\r\n\r\n").at, 5);
        assert_eq!(record("").headers, []);
    }

    #[test]
    fn the_server_s_times_are_parsed() {
        assert_eq!(milliseconds("1970-01-01T00:00:01.234567891Z"), Some(1234));
        assert_eq!(milliseconds("2026-11-30T07:00:00Z"), Some(1_796_022_000_000));
        assert_eq!(milliseconds("yesterday"), None);
    }
}
