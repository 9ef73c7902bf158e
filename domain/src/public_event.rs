use serde::Serialize;
use serde_json::Value;

/// An event in the format that is published to users: a separate type, so that the storage format
/// can change independently.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PublicEvent {
    /// Event type: `job.queued`, …
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The event's data, a JSON object.
    pub data: Value,
    /// True if no further event follows without a new request.
    #[serde(skip)]
    pub terminal: bool,
}
