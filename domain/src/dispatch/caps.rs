use std::collections::BTreeMap;

use crate::{
    Decider, KeyId, Tenant,
    account::{Account, AccountEvent, AccountTerms, Tiers},
    key::KeyEvent,
};

/// How many jobs may be out at once: of each tenant, and of each key that narrows it.
#[derive(Debug, Clone, Default)]
pub struct Caps {
    tiers: Tiers,
    accounts: BTreeMap<Tenant, AccountTerms>,
    keys: BTreeMap<KeyId, u32>,
}

impl Caps {
    /// As the tiers have it, until accounts and keys are folded in.
    pub fn new(tiers: Tiers) -> Self {
        Self { tiers, ..Self::default() }
    }

    /// Folds in one event of an account.
    pub fn account(&mut self, tenant: &Tenant, event: &AccountEvent) {
        let terms = self.accounts.remove(tenant).unwrap_or_default();
        self.accounts.insert(tenant.clone(), Account::evolve(terms, event));
    }

    /// Folds in one event of a key.
    pub fn key(&mut self, key: KeyId, event: &KeyEvent) {
        match event {
            KeyEvent::Created { terms, .. } | KeyEvent::Updated { terms, .. } => {
                match terms.max_concurrent_jobs {
                    Some(most) => self.keys.insert(key, most),
                    None => self.keys.remove(&key),
                };
            }
            // What a revoked key asked for is still bound by what it had.
            KeyEvent::Revoked {}
            | KeyEvent::Extended { .. }
            | KeyEvent::Rotated { .. }
            | KeyEvent::RotationDue { .. } => {}
        }
    }

    pub(super) fn of_tenant(&self, tenant: &Tenant) -> usize {
        let terms = self.accounts.get(tenant).cloned().unwrap_or_default();
        usize::try_from(terms.limits(&self.tiers).concurrent_jobs).unwrap_or(usize::MAX)
    }

    pub(super) fn of_key(&self, key: KeyId) -> usize {
        let most = self.keys.get(&key).copied();
        most.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX)
    }
}
