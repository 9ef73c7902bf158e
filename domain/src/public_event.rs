use serde::Serialize;
use serde_json::Value;

/// An event as users see it: a type of its own, so that the storage format can change without
/// them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PublicEvent {
    /// `job.queued`, …
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// What there is to say about it.
    pub data: Value,
    /// True if nothing follows by itself.
    #[serde(skip)]
    pub terminal: bool,
}
