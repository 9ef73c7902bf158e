use std::{collections::BTreeMap, time::Duration};

use crate::{
    Decider, KeyId, Tenant,
    account::{Account, AccountEvent, AccountState, AccountTerms, Limits, Tiers},
    key::KeyEvent,
};

/// Concurrency limits of tenants and of the keys that narrow them, and the scheduling weights of
/// tenants.
#[derive(Debug, Clone, Default)]
pub struct Caps {
    tiers: Tiers,
    aging_millis: u64,
    accounts: BTreeMap<Tenant, AccountState>,
    keys: BTreeMap<KeyId, u32>,
    /// Ancestors of each key: its jobs in flight count towards their limits too.
    makers: BTreeMap<KeyId, Vec<KeyId>>,
}

impl Caps {
    /// Limits as the tiers define them, until accounts and keys are folded in. Each `aging` that a
    /// job waits raises it by one priority level.
    pub fn new(tiers: Tiers, aging: Duration) -> Self {
        let aging_millis = u64::try_from(aging.as_millis()).unwrap_or(u64::MAX);
        Self { tiers, aging_millis, ..Self::default() }
    }

    pub(super) const fn aging_millis(&self) -> u64 {
        self.aging_millis
    }

    pub(super) fn weight(&self, tenant: &Tenant) -> u32 {
        self.limits(tenant).weight.max(1)
    }

    /// The effective limits of a tenant.
    pub fn limits(&self, tenant: &Tenant) -> Limits {
        match self.accounts.get(tenant) {
            Some(account) => account.limits(&self.tiers),
            None => self.tiers.of(self.tiers.usual).clone(),
        }
    }

    /// What an account is entitled to.
    pub fn terms(&self, tenant: &Tenant) -> AccountTerms {
        self.accounts.get(tenant).map(|account| account.terms.clone()).unwrap_or_default()
    }

    /// False while an account is being erased and once it is.
    pub fn is_open(&self, tenant: &Tenant) -> bool {
        self.accounts.get(tenant).is_none_or(AccountState::is_open)
    }

    /// Folds in one event of an account.
    pub fn account(&mut self, tenant: &Tenant, event: &AccountEvent) {
        let account = self.accounts.remove(tenant).unwrap_or_default();
        self.accounts.insert(tenant.clone(), Account::evolve(account, event));
    }

    /// Folds in one event of a key.
    pub fn key(&mut self, key: KeyId, event: &KeyEvent) {
        if let KeyEvent::Created { makers, .. } = event
            && !makers.is_empty()
        {
            self.makers.insert(key, makers.clone());
        }
        match event {
            KeyEvent::Created { terms, .. } | KeyEvent::Updated { terms, .. } => {
                match terms.max_concurrent_jobs {
                    Some(max) => self.keys.insert(key, max),
                    None => self.keys.remove(&key),
                };
            }
            // Jobs of a revoked key are still bound by its limit.
            KeyEvent::Revoked {}
            | KeyEvent::Extended { .. }
            | KeyEvent::Rotated { .. }
            | KeyEvent::RotationDue { .. }
            | KeyEvent::TokenRevoked { .. } => {}
        }
    }

    pub(super) fn tenant_cap(&self, tenant: &Tenant) -> usize {
        usize::try_from(self.limits(tenant).concurrent_jobs).unwrap_or(usize::MAX)
    }

    /// A key and its ancestors.
    pub(super) fn lineage(&self, key: KeyId) -> impl Iterator<Item = KeyId> {
        std::iter::once(key).chain(self.makers.get(&key).into_iter().flatten().copied())
    }

    pub(super) fn key_cap(&self, key: KeyId) -> usize {
        let max = self.keys.get(&key).copied();
        max.and_then(|max| usize::try_from(max).ok()).unwrap_or(usize::MAX)
    }
}
