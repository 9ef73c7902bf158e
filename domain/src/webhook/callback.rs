use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::Personal;

/// A webhook endpoint for the events of a single job or batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Callback {
    /// The endpoint's URL.
    #[serde(default)]
    pub url: Personal<String>,
    /// Event filters; all events if empty.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub events: BTreeSet<String>,
}

/// True if the filters match an event type: an empty set matches all, `job.*` matches all events of
/// jobs.
pub fn wants(events: &BTreeSet<String>, kind: &str) -> bool {
    let group = kind.split('.').next().map(|thing| format!("{thing}.*"));
    events.is_empty() || events.contains(kind) || group.is_some_and(|group| events.contains(&group))
}
