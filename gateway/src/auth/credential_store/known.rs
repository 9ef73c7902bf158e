//! Keys, accounts and media minutes by month, folded from the log.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
};

use ffapi_domain::{
    Category, Decider, KeyId, Network, Tenant, Timestamp,
    account::{Account, AccountEvent, AccountState},
    key::{Key, KeyEvent, KeyState},
    quota::{Quota, QuotaEvent, QuotaState},
};
use ffapi_nats::{Codec, Decision, Message};

use crate::auth::error::AuthError;

#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) keys: HashMap<KeyId, KnownKey>,
    pub(super) accounts: HashMap<Tenant, KnownAccount>,
    /// Keys with an event that cannot be decoded; they may have been revoked by it.
    pub(super) unreadable: BTreeSet<KeyId>,
    /// Media minutes by tenant and month.
    pub(super) quotas: HashMap<Tenant, BTreeMap<String, QuotaState>>,
}

impl Known {
    /// Rejects an address that the account or the key does not allow.
    pub(super) fn check_address(
        &self,
        tenant: &Tenant,
        own: Option<&BTreeSet<Network>>,
        from: Option<IpAddr>,
    ) -> Result<(), AuthError> {
        let account = self.accounts.get(tenant).map(|account| &account.state.terms.allowed_ips);
        let inside = |allowed: &BTreeSet<Network>| {
            allowed.is_empty()
                || from.is_some_and(|from| allowed.iter().any(|net| net.contains(from)))
        };
        if account.into_iter().chain(own).all(inside) { Ok(()) } else { Err(AuthError::Address) }
    }

    /// Folds in one message of the log.
    pub(super) fn apply(&mut self, update: Update) {
        let Update { tenant, sequence, change } = update;
        match change {
            Change::Key { id, decision } => self.apply_key(tenant, id, sequence, &decision),
            Change::UnreadableKey(id) => {
                self.unreadable.insert(id);
            }
            Change::Account(decision) => self.apply_account(tenant, sequence, &decision),
            Change::Quota { month, decision } => {
                let months = self.quotas.entry(tenant).or_default();
                let month = months.entry(month).or_default();
                *month = decision.events.iter().fold(std::mem::take(month), Quota::evolve);
            }
            Change::None => {}
        }
    }

    fn apply_key(
        &mut self,
        tenant: Tenant,
        id: KeyId,
        sequence: u64,
        decision: &Decision<KeyEvent>,
    ) {
        let at = Timestamp::from_millis(decision.at);
        let key = self.keys.entry(id).or_insert_with(|| KnownKey {
            id,
            tenant,
            state: KeyState::default(),
            created_at: at,
            updated_at: at,
            version: 0,
            created_in: sequence,
        });
        let state = std::mem::take(&mut key.state);
        key.state = decision.events.iter().fold(state, Key::evolve);
        key.version = key.version.saturating_add(decision.events.len() as u64);
        key.updated_at = at;
    }

    fn apply_account(&mut self, tenant: Tenant, sequence: u64, decision: &Decision<AccountEvent>) {
        let own = tenant.clone();
        let account = self.accounts.entry(tenant).or_default();
        let state = std::mem::take(&mut account.state);
        account.state = decision.events.iter().fold(state, Account::evolve);
        account.version = account.version.saturating_add(decision.events.len() as u64);
        let has = |event: AccountEvent| decision.events.contains(&event);
        let (erased, reopened) = (has(AccountEvent::Erased {}), has(AccountEvent::Reopened {}));
        if erased || reopened {
            account.begins_after = sequence;
        }
        let before = |key: &&mut KnownKey| key.tenant == own && key.created_in < sequence;
        for key in self.keys.values_mut().filter(before) {
            if erased {
                key.state.erase();
            }
            if reopened && let KeyState::Active(held) = &key.state {
                // Created while the account was being erased: it does not belong to the new
                // account.
                key.state = KeyState::Revoked(held.clone());
            }
        }
    }
}

/// A key's state, and what else the API shows of it.
#[derive(Debug, Clone)]
pub(crate) struct KnownKey {
    pub(crate) id: KeyId,
    pub(crate) tenant: Tenant,
    pub(crate) state: KeyState,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) version: u64,
    /// Sequence of the message that created it.
    pub(crate) created_in: u64,
}

/// An account and its version.
#[derive(Debug, Clone, Default)]
pub(crate) struct KnownAccount {
    pub(crate) state: AccountState,
    pub(crate) version: u64,
    /// Sequence of the message that last erased or reopened it; 0 if there is none. Everything from
    /// before is gone.
    pub(crate) begins_after: u64,
}

/// One decoded message of the log.
pub(super) struct Update {
    tenant: Tenant,
    sequence: u64,
    change: Change,
}

enum Change {
    Key {
        id: KeyId,
        decision: Decision<KeyEvent>,
    },
    /// The message is of this key, and cannot be decoded.
    UnreadableKey(KeyId),
    Account(Decision<AccountEvent>),
    Quota {
        month: String,
        decision: Decision<QuotaEvent>,
    },
    /// Nothing that this copy needs, or that can be decoded.
    None,
}

impl Update {
    /// Decodes a message; none if its subject is not an aggregate's.
    pub(super) async fn read(codec: &Codec, message: &Message) -> Option<Self> {
        let (category, tenant, id) = message.address()?;
        let tenant = tenant.parse::<Tenant>().ok()?;
        let change = match Category::of(category) {
            Some(Category::Key) => match (id.parse(), codec.read_or_skip(message).await) {
                (Ok(id), Some(decision)) => Change::Key { id, decision },
                (Ok(id), None) => Change::UnreadableKey(id),
                (Err(_), _) => Change::None,
            },
            Some(Category::Account) => {
                codec.read_or_skip(message).await.map_or(Change::None, Change::Account)
            }
            Some(Category::Quota) => {
                let of_month = |decision| Change::Quota { month: id.to_owned(), decision };
                codec.read_or_skip(message).await.map_or(Change::None, of_month)
            }
            Some(
                Category::Batch
                | Category::Dispatch
                | Category::Job
                | Category::KeyQuota
                | Category::Output
                | Category::Preset
                | Category::QueueQuota
                | Category::Restoration
                | Category::StorageQuota
                | Category::Upload
                | Category::Webhook
                | Category::WebhookQuota,
            )
            | None => Change::None,
        };
        Some(Self { tenant, sequence: message.sequence, change })
    }

    /// True if a key may have lost or gained access by it.
    pub(super) const fn changes_access(&self) -> bool {
        match self.change {
            Change::Key { .. } | Change::UnreadableKey(_) | Change::Account(_) => true,
            Change::Quota { .. } | Change::None => false,
        }
    }

    /// When a key was revoked by it.
    pub(super) fn revoked_at(&self) -> Option<Timestamp> {
        let Change::Key { decision, .. } = &self.change else { return None };
        let revoked = decision.events.contains(&KeyEvent::Revoked {});
        revoked.then(|| Timestamp::from_millis(decision.at))
    }
}
