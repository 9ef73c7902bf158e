use std::{collections::BTreeMap, time::Duration};

use crate::{
    Decider, KeyId, Tenant,
    account::{Account, AccountEvent, AccountState, AccountTerms, Limits, Tiers},
    key::KeyEvent,
};

/// How many jobs may be out at once, of each tenant and of each key that narrows it; and whose turn
/// counts for how much.
#[derive(Debug, Clone, Default)]
pub struct Caps {
    tiers: Tiers,
    aging: u64,
    accounts: BTreeMap<Tenant, AccountState>,
    keys: BTreeMap<KeyId, u32>,
    /// The keys that a key was made by: what it has out counts for them as well.
    makers: BTreeMap<KeyId, Vec<KeyId>>,
}

impl Caps {
    /// As the tiers have it, until accounts and keys are folded in. Each `aging` that a job waits is
    /// worth a level of priority.
    pub fn new(tiers: Tiers, aging: Duration) -> Self {
        let aging = u64::try_from(aging.as_millis()).unwrap_or(u64::MAX);
        Self { tiers, aging, ..Self::default() }
    }

    pub(super) const fn aging(&self) -> u64 {
        self.aging
    }

    pub(super) fn weight(&self, tenant: &Tenant) -> u32 {
        self.limits(tenant).weight.max(1)
    }

    /// How much a tenant may have.
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
        usize::try_from(self.limits(tenant).concurrent_jobs).unwrap_or(usize::MAX)
    }

    /// A key, and those that it was made by.
    pub(super) fn line(&self, key: KeyId) -> impl Iterator<Item = KeyId> {
        std::iter::once(key).chain(self.makers.get(&key).into_iter().flatten().copied())
    }

    pub(super) fn of_key(&self, key: KeyId) -> usize {
        let most = self.keys.get(&key).copied();
        most.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX)
    }
}
