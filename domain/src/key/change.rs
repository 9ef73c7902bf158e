use std::collections::BTreeSet;

use super::{ActiveKey, KeyTerms, Scope};
use crate::{Network, Personal};

/// What shall be otherwise. What is none stays as it is when this is decided, and not as whoever asks
/// for it has read it; `Some(None)` takes away.
#[derive(Debug, Clone, Default)]
pub struct KeyChange {
    /// For a person.
    pub name: Option<Personal<String>>,
    /// For a person.
    pub description: Option<Option<Personal<String>>>,
    /// What it may do.
    pub scopes: Option<BTreeSet<Scope>>,
    /// Seconds after which its secret is replaced by itself.
    pub rotate_every: Option<Option<u64>>,
    /// It opens from these addresses only.
    pub allowed_ips: Option<BTreeSet<Network>>,
    /// Jobs at once.
    pub max_concurrent_jobs: Option<Option<u32>>,
    /// Media minutes in a month.
    pub monthly_limit_minutes: Option<Option<u64>>,
}

impl KeyChange {
    /// What a key then is: its name, its description, its scopes and how far it goes.
    pub(super) fn onto(
        self,
        key: &ActiveKey,
    ) -> (Personal<String>, Option<Personal<String>>, BTreeSet<Scope>, KeyTerms) {
        let have = key.terms.clone();
        let terms = KeyTerms {
            expires_at: have.expires_at,
            rotate_every: self.rotate_every.unwrap_or(have.rotate_every),
            allowed_ips: self.allowed_ips.unwrap_or(have.allowed_ips),
            max_concurrent_jobs: self.max_concurrent_jobs.unwrap_or(have.max_concurrent_jobs),
            monthly_limit_minutes: self.monthly_limit_minutes.unwrap_or(have.monthly_limit_minutes),
        };
        (
            self.name.unwrap_or_else(|| key.name.clone()),
            self.description.unwrap_or_else(|| key.description.clone()),
            self.scopes.unwrap_or_else(|| key.scopes.clone()),
            terms,
        )
    }
}
