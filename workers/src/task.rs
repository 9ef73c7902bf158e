use ffapi_domain::dispatch::Release;
use serde::{Deserialize, Serialize};

/// A released job as it stands in the queue.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Order {
    #[serde(flatten)]
    pub(crate) release: Release,
    /// Where its release stands in the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) released_at: Option<String>,
}

/// The task's name in the queue: one message a job and attempt, whoever offers it.
pub(crate) fn name(release: &Release) -> String {
    format!("{}.{}.{}", release.tenant, release.job, release.attempt)
}

/// The task's body.
pub(crate) fn encode(order: &Order) -> Vec<u8> {
    serde_json::to_vec(order).unwrap_or_default()
}

pub(crate) fn decode(bytes: &[u8]) -> Option<Order> {
    serde_json::from_slice(bytes).ok()
}
