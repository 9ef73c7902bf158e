use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{Personal, Timestamp};

/// What happened to a webhook endpoint. Names and fields are the storage format: added to, never
/// changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum WebhookEvent {
    /// It was created. Its first secret is in the vault.
    #[serde(rename = "webhook.created")]
    Created {
        /// Its terms.
        terms: WebhookTerms,
    },
    /// Its terms changed.
    #[serde(rename = "webhook.updated")]
    Updated {
        /// The complete new terms.
        terms: WebhookTerms,
    },
    /// Its secret was rotated; the new one is in the vault.
    #[serde(rename = "webhook.secret_rotated")]
    SecretRotated {
        /// Number of the secret; the first is 1.
        secret: u32,
        /// Until when deliveries are also signed with the old one.
        old_until: Timestamp,
    },
    /// It was disabled: no events are sent to it.
    #[serde(rename = "webhook.disabled")]
    Disabled {
        /// Who or what disabled it.
        by: DisabledBy,
    },
    /// It was enabled: events are sent to it again.
    #[serde(rename = "webhook.enabled")]
    Enabled {},
    /// It was deleted.
    #[serde(rename = "webhook.deleted")]
    Deleted {},
    /// A test event was requested.
    #[serde(rename = "webhook.tested")]
    Tested {},
    /// A replay of all events after a position was requested.
    #[serde(rename = "webhook.replay_asked")]
    ReplayAsked {
        /// Sequence of that position.
        sequence: u64,
        /// Index of that position.
        index: u32,
    },
}

/// The terms of a webhook endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookTerms {
    /// The URL.
    #[serde(default)]
    pub url: Personal<String>,
    /// Event filters; all events if empty.
    #[serde(default)]
    pub events: BTreeSet<String>,
    /// Description.
    #[serde(default)]
    pub description: Personal<Option<String>>,
    /// Maximum number of concurrent deliveries; those about one job are always sequential.
    pub concurrency: u32,
}

/// Who or what disabled an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DisabledBy {
    /// Its owner.
    Owner,
    /// The endpoint itself, by responding with 410.
    Gone,
    /// Automatically, after days of failed deliveries.
    Failing,
}

impl DisabledBy {
    /// The name in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Gone => "gone",
            Self::Failing => "failing",
        }
    }
}
