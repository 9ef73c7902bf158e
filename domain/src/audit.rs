//! Facts that no decision holds: who was refused, and who looked at what.

use serde::{Deserialize, Serialize};

use crate::{KeyId, Personal, Timestamp};

/// The tenant of facts about strangers.
pub const NOBODY: &str = "_";

/// Something that was noted, once or often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuditEvent {
    /// The same thing by the same actor, within a minute.
    #[serde(rename = "audit.noted")]
    Noted {
        /// What, like `key.refused_address`.
        action: String,
        /// By the holder of which key.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<KeyId>,
        /// From where.
        #[serde(default)]
        address: Personal<String>,
        /// The method and path of the first time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request: Option<Personal<String>>,
        /// The request id of the first time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        /// How often since it was noted last.
        count: u64,
        /// The first time.
        first: Timestamp,
        /// The last time.
        last: Timestamp,
    },
}
