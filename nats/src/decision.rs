use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::LogError;

/// One message in the log: a whole decision and why it was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision<E> {
    /// The command that caused it; the same command again is the same decision.
    pub command_id: Uuid,
    /// The request that everything here goes back to.
    pub correlation_id: Uuid,
    /// The position or command that led to the command.
    #[serde(default)]
    pub causation: Option<String>,
    /// Who.
    pub actor: Actor,
    /// Whose.
    pub tenant: String,
    /// Milliseconds since 1970 UTC.
    pub at: u64,
    /// W3C trace context.
    #[serde(default)]
    pub traceparent: Option<String>,
    /// From where, as a personal value; see [`personal`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<rmpv::Value>,
    /// Of the events' format; upcasters look here.
    #[serde(default)]
    pub schema: u32,
    /// What happened, in order; never empty.
    pub events: Vec<E>,
    /// Where the aggregate stands after that, of those that say so: nothing before it need be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stands: Option<Snapshot>,
}

/// Where an aggregate stands after a decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Count of its events so far.
    pub version: u64,
    /// Its state, as its decider writes it.
    pub state: serde_json::Value,
}

/// A value of the envelope that the codec encrypts where it is personal.
///
/// # Errors
/// When it cannot be written at all.
pub fn personal<T: Serialize>(value: &T) -> Result<rmpv::Value, LogError> {
    rmpv::ext::to_value(value).map_err(|error| LogError::Corrupt(error.to_string()))
}

impl<E> Decision<E> {
    /// From where, if it was told and can still be read.
    pub fn address<T: DeserializeOwned>(&self) -> Option<T> {
        rmpv::ext::from_value(self.address.clone()?).ok()
    }
}

/// Who caused a decision: a key's public id, or a process of ours. Never a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "id", rename_all = "snake_case")]
pub enum Actor {
    /// An API key, by its public id.
    Key(String),
    /// A worker process.
    Worker(String),
    /// A process manager.
    Process(String),
}

/// A message as the log holds it.
#[derive(Debug, Clone)]
pub struct Message {
    /// Its place in the total order.
    pub sequence: u64,
    /// `ev.<aggregate>.<tenant>.<id>`.
    pub subject: String,
    /// The encoded decision.
    pub payload: Bytes,
    /// How many were in the log behind this one when it was read.
    pub pending: u64,
}

impl Message {
    /// The aggregate, tenant and id that the subject names.
    pub fn address(&self) -> Option<(&str, &str, &str)> {
        let mut parts = self.subject.split('.');
        match (parts.next(), parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some("ev"), Some(aggregate), Some(tenant), Some(id), None) => {
                Some((aggregate, tenant, id))
            }
            _ => None,
        }
    }
}
