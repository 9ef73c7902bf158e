use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Scope;
use crate::{KeyId, Network, Timestamp};

/// How far a key goes: each of these narrows what its account allows, none widens it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyTerms {
    /// It opens nothing from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Seconds after which its secret is replaced by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotate_every: Option<u64>,
    /// It opens from these addresses only; from everywhere if there is none.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub allowed_ips: BTreeSet<Network>,
    /// Jobs at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrent_jobs: Option<u32>,
    /// Media minutes in a month.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monthly_limit_minutes: Option<u64>,
}

/// What somebody who makes or changes a key has: nobody gives more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// What they may do.
    pub scopes: BTreeSet<Scope>,
    /// How far they go.
    pub terms: KeyTerms,
    /// Their own key and those that it was made by, the nearest first: what is made draws on what
    /// these have. Empty for what is no key of the same account.
    pub line: Vec<KeyId>,
}

/// Keys that may stand in a line: one made by the last of them is refused.
pub const GENERATIONS: usize = 8;

/// What was asked for beyond what the asker has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct TermsRejection {
    /// JSON pointer to the field.
    pub pointer: String,
    /// What would work.
    pub detail: String,
}

fn beyond(field: &str, detail: impl Into<String>) -> TermsRejection {
    TermsRejection { pointer: format!("#/{field}"), detail: detail.into() }
}

impl Grant {
    /// A process of ours, which grants anything.
    pub fn of_the_house() -> Self {
        Self { scopes: BTreeSet::from(Scope::ALL), terms: KeyTerms::default(), line: vec![] }
    }

    /// Refuses what goes beyond what the granter has.
    ///
    /// # Errors
    /// Names the first field that does.
    pub fn covers(&self, scopes: &BTreeSet<Scope>, terms: &KeyTerms) -> Result<(), TermsRejection> {
        let admin = self.scopes.contains(&Scope::Admin);
        let lacking = scopes.iter().find(|scope| !admin && !self.scopes.contains(scope));
        if let Some(scope) = lacking {
            let detail = format!("your key has not `{}`, so it cannot give it", scope.as_str());
            return Err(beyond("scopes", detail));
        }
        let longer = |theirs: Option<u64>, own: Option<u64>| {
            own.is_some_and(|own| theirs.is_none_or(|theirs| theirs > own))
        };
        let own = &self.terms;
        let millis = |time: Option<Timestamp>| time.map(Timestamp::as_millis);
        if longer(millis(terms.expires_at), millis(own.expires_at)) {
            return Err(beyond("expires_at", "your own key ends earlier"));
        }
        if longer(terms.max_concurrent_jobs.map(u64::from), own.max_concurrent_jobs.map(u64::from))
        {
            return Err(beyond("max_concurrent_jobs", "your own key has fewer"));
        }
        if longer(terms.monthly_limit_minutes, own.monthly_limit_minutes) {
            return Err(beyond("monthly_limit_minutes", "your own key has fewer"));
        }
        if longer(terms.rotate_every, own.rotate_every) {
            return Err(beyond("rotate_every", "your own key is rotated more often"));
        }
        let covered = |net: &Network| own.allowed_ips.iter().any(|own| own.covers(net));
        if !own.allowed_ips.is_empty()
            && (terms.allowed_ips.is_empty() || !terms.allowed_ips.iter().all(covered))
        {
            return Err(beyond("allowed_ips", "your own key opens from fewer addresses"));
        }
        Ok(())
    }
}
