use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::Personal;

/// An endpoint of one job's or batch's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Callback {
    /// Where.
    #[serde(default)]
    pub url: Personal<String>,
    /// Of what; of everything if empty.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub events: BTreeSet<String>,
}

/// True if somebody who wants these events wants one of this kind: all if none is named, `job.*` for
/// all of jobs.
pub fn wants(events: &BTreeSet<String>, kind: &str) -> bool {
    let group = kind.split('.').next().map(|thing| format!("{thing}.*"));
    events.is_empty() || events.contains(kind) || group.is_some_and(|group| events.contains(&group))
}
