use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{Personal, catalogue::is_internal};

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

/// True if the filters match an event type: an empty set matches all that are not internal, `job.*`
/// matches all events of jobs.
pub fn wants(events: &BTreeSet<String>, kind: &str) -> bool {
    if events.is_empty() {
        return !is_internal(kind);
    }
    let group = kind.split('.').next().map(|thing| format!("{thing}.*"));
    events.contains(kind) || group.is_some_and(|group| events.contains(&group))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn internal_events_are_wanted_only_if_they_are_named() {
        let filter = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        for (names, kind, expected) in [
            (&[][..], "job.completed", true),
            (&[], "batch.completed", true),
            (&[], "job.outputs_sealed", false),
            (&[], "job.attempt_failed", false),
            (&["job.*"], "job.outputs_sealed", true),
            (&["job.outputs_sealed"], "job.outputs_sealed", true),
            (&["job.completed"], "job.failed", false),
        ] {
            assert_eq!(wants(&filter(names), kind), expected, "{names:?} {kind}");
        }
    }
}
