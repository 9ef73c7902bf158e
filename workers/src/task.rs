use ffapi_domain::dispatch::Release;
use serde::{Deserialize, Serialize};

/// The payload of a task: a released job in the work queue.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Payload {
    #[serde(flatten)]
    pub(crate) release: Release,
    /// Position of the release in the log, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) released_at: Option<String>,
}

/// The task's name in the queue: unique per job and attempt, so that offering it twice queues it
/// once.
pub(crate) fn name(release: &Release) -> String {
    format!("{}.{}.{}", release.tenant, release.job, release.attempt)
}

/// Encodes a task's body as JSON.
pub(crate) fn encode(payload: &Payload) -> Vec<u8> {
    serde_json::to_vec(payload).unwrap_or_default()
}

/// Decodes a task's body; none if it is malformed.
pub(crate) fn decode(bytes: &[u8]) -> Option<Payload> {
    serde_json::from_slice(bytes).ok()
}
