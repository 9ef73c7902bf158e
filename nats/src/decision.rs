use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::{LogError, subject, trace::TraceContext, upcast::SCHEMA};

/// One message in the log: all events of a decision, and the metadata of its cause.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision<E> {
    /// The command that caused it; a retry of the same command yields the same decision.
    pub command_id: Uuid,
    /// Id of the original request; the same for everything that follows from it.
    pub correlation_id: Uuid,
    /// The log position or request that led to the command.
    #[serde(default)]
    pub causation: Option<String>,
    /// The key or process that gave the command.
    pub actor: Actor,
    /// The tenant whose aggregate it is; its data key encrypts the personal fields.
    pub tenant: String,
    /// When it was made, in milliseconds since 1970 UTC.
    pub at: u64,
    /// W3C trace context of the span that made it.
    #[serde(default)]
    pub traceparent: Option<String>,
    /// The client's network address, as a personal value; see [`personal`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<rmpv::Value>,
    /// Version of the format that it is written in; the module `upcast` converts older ones.
    #[serde(default)]
    pub(crate) schema: u32,
    /// The events in order; never empty.
    pub events: Vec<E>,
    /// The aggregate's state after these events, if its decider stores snapshots: earlier messages
    /// need not be read then.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "stands")]
    pub snapshot: Option<Snapshot>,
}

/// The state of an aggregate after a decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Number of its events so far.
    pub version: u64,
    /// The state, as its decider serializes it.
    pub state: serde_json::Value,
}

/// Converts a value for the envelope, so that the codec encrypts its personal parts.
///
/// # Errors
/// When it cannot be serialized.
pub fn personal<T: Serialize>(value: &T) -> Result<rmpv::Value, LogError> {
    rmpv::ext::to_value(value).map_err(|error| LogError::Corrupt(error.to_string()))
}

impl<E> Decision<E> {
    /// A decision in the present format that nothing else caused. `at` is in milliseconds since 1970
    /// UTC; callers set the fields that their decisions have in addition.
    pub fn new(
        command_id: Uuid,
        actor: Actor,
        tenant: impl Into<String>,
        at: u64,
        events: Vec<E>,
    ) -> Self {
        Self {
            command_id,
            correlation_id: command_id,
            causation: None,
            actor,
            tenant: tenant.into(),
            at,
            traceparent: None,
            address: None,
            schema: SCHEMA,
            events,
            snapshot: None,
        }
    }

    /// The id of the trace that it belongs to, if it is known.
    pub fn trace_id(&self) -> Option<String> {
        let context = TraceContext::parse(self.traceparent.as_deref()?)?;
        Some(context.trace_id())
    }

    /// The client's network address, if it was recorded and can be deserialized.
    pub fn address<T: DeserializeOwned>(&self) -> Option<T> {
        rmpv::ext::from_value(self.address.clone()?).ok()
    }
}

/// The key (by its public id) or ffapi process that caused a decision. Never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "id", rename_all = "snake_case")]
pub enum Actor {
    /// An API key, by its public id.
    Key(String),
    /// A worker process, by its id.
    Worker(String),
    /// A process manager, by its name.
    Process(String),
}

/// A message as it is stored in the log.
#[derive(Debug, Clone)]
pub struct Message {
    /// Its stream sequence: its position in the total order.
    pub sequence: u64,
    /// `ev.<aggregate>.<tenant>.<id>`.
    pub subject: String,
    /// The encoded decision.
    pub payload: Bytes,
    /// Number of later messages for this reader when the server sent it; 0 where that is unknown.
    pub pending: u64,
}

impl Message {
    /// Its category: the second token of a subject of the log, and the first one of another subject.
    pub fn category(&self) -> &str {
        subject::category_name(&self.subject)
    }

    /// Category, tenant and id from the subject; `None` if the subject has another form.
    pub fn address(&self) -> Option<(&str, &str, &str)> {
        subject::parse_aggregate(&self.subject)
    }
}
