//! Audited facts that are not part of any decision: rejected requests and read accesses.

use serde::{Deserialize, Serialize};

use crate::{KeyId, Personal, Timestamp};

/// The tenant under which anonymous clients are audited.
pub const NOBODY: &str = "_";

/// An audited fact, counted if it repeats.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuditEvent {
    /// The same action by the same actor, aggregated over up to a minute.
    #[serde(rename = "audit.noted")]
    Noted {
        /// The action, like `key.refused_address`.
        action: String,
        /// The key that was used, if any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<KeyId>,
        /// The client's address.
        #[serde(default)]
        address: Personal<String>,
        /// Method and path of the first occurrence.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request: Option<Personal<String>>,
        /// Request id of the first occurrence.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        /// Occurrences since the previous record.
        count: u64,
        /// Time of the first occurrence.
        first: Timestamp,
        /// Time of the last occurrence.
        last: Timestamp,
    },
}
