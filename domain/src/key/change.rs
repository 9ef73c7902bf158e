use std::collections::BTreeSet;

use super::{ActiveKey, KeyTerms, Scope};
use crate::{Network, Personal};

/// A partial update of a key. `None` keeps the value that the key has when the command is decided,
/// not when the client read it; `Some(None)` removes the value.
#[derive(Debug, Clone, Default)]
pub struct KeyChange {
    /// Display name.
    pub name: Option<Personal<String>>,
    /// Description.
    pub description: Option<Option<Personal<String>>>,
    /// What the key may do.
    pub scopes: Option<BTreeSet<Scope>>,
    /// Seconds after which its secret is rotated automatically.
    pub rotate_every: Option<Option<u64>>,
    /// The addresses that it is accepted from.
    pub allowed_ips: Option<BTreeSet<Network>>,
    /// Maximum number of concurrent jobs.
    pub max_concurrent_jobs: Option<Option<u32>>,
    /// Media minutes per month.
    pub monthly_limit_minutes: Option<Option<u64>>,
}

impl KeyChange {
    /// The key's name, description, scopes and terms after the change.
    pub(super) fn apply_to(
        self,
        key: &ActiveKey,
    ) -> (Personal<String>, Option<Personal<String>>, BTreeSet<Scope>, KeyTerms) {
        let current = key.terms.clone();
        let terms = KeyTerms {
            expires_at: current.expires_at,
            rotate_every: self.rotate_every.unwrap_or(current.rotate_every),
            allowed_ips: self.allowed_ips.unwrap_or(current.allowed_ips),
            max_concurrent_jobs: self.max_concurrent_jobs.unwrap_or(current.max_concurrent_jobs),
            monthly_limit_minutes: self
                .monthly_limit_minutes
                .unwrap_or(current.monthly_limit_minutes),
        };
        (
            self.name.unwrap_or_else(|| key.name.clone()),
            self.description.unwrap_or_else(|| key.description.clone()),
            self.scopes.unwrap_or_else(|| key.scopes.clone()),
            terms,
        )
    }
}
