use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{Personal, Timestamp};

/// What happened to an endpoint. Names and fields are the storage format: added to, never changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum WebhookEvent {
    /// It was made. Its first secret stands in the vault.
    #[serde(rename = "webhook.created")]
    Created {
        /// What was asked for.
        terms: WebhookTerms,
    },
    /// It has these terms from now on.
    #[serde(rename = "webhook.updated")]
    Updated {
        /// All of them.
        terms: WebhookTerms,
    },
    /// It has another secret, which stands in the vault.
    #[serde(rename = "webhook.secret_rotated")]
    SecretRotated {
        /// Its number: 1 was the first.
        secret: u32,
        /// Until when what is sent is signed with the old one as well.
        old_until: Timestamp,
    },
    /// Nothing is sent to it any more.
    #[serde(rename = "webhook.disabled")]
    Disabled {
        /// Who wanted that.
        by: DisabledBy,
    },
    /// It is sent to again.
    #[serde(rename = "webhook.enabled")]
    Enabled {},
    /// It is gone.
    #[serde(rename = "webhook.deleted")]
    Deleted {},
    /// Somebody asked for an event that means nothing.
    #[serde(rename = "webhook.tested")]
    Tested {},
    /// Somebody asked for everything after a position once more.
    #[serde(rename = "webhook.replay_asked")]
    ReplayAsked {
        /// Sequence of that position.
        sequence: u64,
        /// Index of that position.
        index: u32,
    },
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookTerms {
    /// Where.
    #[serde(default)]
    pub url: Personal<String>,
    /// Of what; of everything if empty.
    #[serde(default)]
    pub events: BTreeSet<String>,
    /// For a person.
    #[serde(default)]
    pub description: Personal<Option<String>>,
    /// Deliveries at once; those of one job come one after the other all the same.
    pub concurrency: u32,
}

/// Who or what disabled an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DisabledBy {
    /// Whoever it belongs to.
    Owner,
    /// The endpoint itself, which answered 410.
    Gone,
    /// Days of nothing but failure.
    Failing,
}

impl DisabledBy {
    /// The word as written in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Gone => "gone",
            Self::Failing => "failing",
        }
    }
}
