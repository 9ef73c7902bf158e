use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Scope;
use crate::{KeyId, Network, Timestamp};

/// Limits of a key: each narrows what its account allows, none widens it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyTerms {
    /// When it expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Seconds after which its secret is rotated automatically.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotate_every: Option<u64>,
    /// It is only accepted from these addresses; from any address if empty.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub allowed_ips: BTreeSet<Network>,
    /// Maximum number of concurrent jobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrent_jobs: Option<u32>,
    /// Media minutes per month.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monthly_limit_minutes: Option<u64>,
}

/// The permissions of a caller that creates or changes a key, which the key must not exceed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// What the caller may do.
    pub scopes: BTreeSet<Scope>,
    /// The caller's limits.
    pub terms: KeyTerms,
    /// The caller's own key and its ancestors, the nearest first: usage of the new key counts
    /// towards their limits. Empty if the caller has no key of the same account.
    pub line: Vec<KeyId>,
}

/// Maximum length of a chain of parent keys: the last one cannot create keys.
pub const MAX_KEY_GENERATIONS: usize = 8;

/// A requested permission that exceeds those of the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct TermsRejection {
    /// JSON pointer to the field.
    pub pointer: String,
    /// What would be accepted.
    pub detail: String,
}

fn beyond(field: &str, detail: impl Into<String>) -> TermsRejection {
    TermsRejection { pointer: format!("#/{field}"), detail: detail.into() }
}

impl Grant {
    /// Unrestricted permissions, for internal processes.
    pub fn unrestricted() -> Self {
        Self { scopes: BTreeSet::from(Scope::ALL), terms: KeyTerms::default(), line: vec![] }
    }

    /// Rejects scopes and terms that exceed these permissions.
    ///
    /// # Errors
    /// The first field that exceeds them.
    pub fn covers(&self, scopes: &BTreeSet<Scope>, terms: &KeyTerms) -> Result<(), TermsRejection> {
        let admin = self.scopes.contains(&Scope::Admin);
        let missing = scopes.iter().find(|scope| !admin && !self.scopes.contains(scope));
        if let Some(scope) = missing {
            let detail =
                format!("your key does not have `{}`, so it cannot grant it", scope.as_str());
            return Err(beyond("scopes", detail));
        }
        let exceeds = |theirs: Option<u64>, own: Option<u64>| {
            own.is_some_and(|own| theirs.is_none_or(|theirs| theirs > own))
        };
        let own = &self.terms;
        let millis = |time: Option<Timestamp>| time.map(Timestamp::as_millis);
        if exceeds(millis(terms.expires_at), millis(own.expires_at)) {
            return Err(beyond("expires_at", "your own key expires earlier"));
        }
        if exceeds(terms.max_concurrent_jobs.map(u64::from), own.max_concurrent_jobs.map(u64::from))
        {
            return Err(beyond("max_concurrent_jobs", "your own key has a lower limit"));
        }
        if exceeds(terms.monthly_limit_minutes, own.monthly_limit_minutes) {
            return Err(beyond("monthly_limit_minutes", "your own key has a lower limit"));
        }
        if exceeds(terms.rotate_every, own.rotate_every) {
            return Err(beyond("rotate_every", "your own key is rotated more often"));
        }
        let covered = |net: &Network| own.allowed_ips.iter().any(|own| own.covers(net));
        if !own.allowed_ips.is_empty()
            && (terms.allowed_ips.is_empty() || !terms.allowed_ips.iter().all(covered))
        {
            return Err(beyond("allowed_ips", "your own key is accepted from fewer addresses"));
        }
        Ok(())
    }
}
