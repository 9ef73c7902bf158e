//! What is known of keys, accounts and months, folded from the log.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    time::Duration,
};

use ffapi_domain::{
    Decider, KeyId, Network, Tenant, Timestamp,
    account::{Account, AccountEvent, AccountState},
    key::{Key, KeyEvent, KeyState},
    quota::{Quota, QuotaEvent, QuotaState},
};
use ffapi_nats::{Codec, CodecError, Decision, Message};
use serde::de::DeserializeOwned;

use super::AuthError;

#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) keys: HashMap<KeyId, KnownKey>,
    pub(super) accounts: HashMap<Tenant, KnownAccount>,
    /// What was said of these cannot be read; it may be that they are revoked.
    pub(super) unreadable: BTreeSet<KeyId>,
    /// By tenant and month.
    pub(super) quotas: HashMap<Tenant, BTreeMap<String, QuotaState>>,
}

impl Known {
    /// Refuses an address that account or key do not open from.
    pub(super) fn opens_from(
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

    /// Takes in one message of the log.
    pub(super) fn learn(&mut self, fact: Fact) {
        let Fact { tenant, sequence, what } = fact;
        match what {
            What::Key { id, decision } => self.learn_key(tenant, id, sequence, &decision),
            What::UnreadableKey(id) => {
                self.unreadable.insert(id);
            }
            What::Account(decision) => self.learn_account(tenant, sequence, &decision),
            What::Quota { month, decision } => {
                let months = self.quotas.entry(tenant).or_default();
                let month = months.entry(month).or_default();
                *month = decision.events.iter().fold(std::mem::take(month), Quota::evolve);
            }
            What::Nothing => {}
        }
    }

    fn learn_key(
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
            made_at: sequence,
        });
        let state = std::mem::take(&mut key.state);
        key.state = decision.events.iter().fold(state, Key::evolve);
        key.version = key.version.saturating_add(decision.events.len() as u64);
        key.updated_at = at;
    }

    fn learn_account(&mut self, tenant: Tenant, sequence: u64, decision: &Decision<AccountEvent>) {
        let own = tenant.clone();
        let account = self.accounts.entry(tenant).or_default();
        let state = std::mem::take(&mut account.state);
        account.state = decision.events.iter().fold(state, Account::evolve);
        account.version = account.version.saturating_add(decision.events.len() as u64);
        let has = |wanted: AccountEvent| decision.events.contains(&wanted);
        let (erased, anew) = (has(AccountEvent::Erased {}), has(AccountEvent::Reopened {}));
        if erased || anew {
            account.begins_after = sequence;
        }
        let before = |key: &&mut KnownKey| key.tenant == own && key.made_at < sequence;
        for key in self.keys.values_mut().filter(before) {
            if erased {
                key.state.erase();
            }
            if anew && let KeyState::Active(held) = &key.state {
                // Made while the account was being erased: it is none of the new account's.
                key.state = KeyState::Revoked(held.clone());
            }
        }
    }
}

/// A key, and what is shown of it beside its state.
#[derive(Debug, Clone)]
pub(crate) struct KnownKey {
    pub(crate) id: KeyId,
    pub(crate) tenant: Tenant,
    pub(crate) state: KeyState,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) version: u64,
    /// Sequence of the message that made it.
    pub(crate) made_at: u64,
}

/// An account and its version.
#[derive(Debug, Clone, Default)]
pub(crate) struct KnownAccount {
    pub(crate) state: AccountState,
    pub(crate) version: u64,
    /// Sequence of the message by which it was erased or opened anew last; 0 if it never was. What it had
    /// before is gone.
    pub(crate) begins_after: u64,
}

/// One message of the log, read.
pub(super) struct Fact {
    tenant: Tenant,
    sequence: u64,
    what: What,
}

enum What {
    Key {
        id: KeyId,
        decision: Decision<KeyEvent>,
    },
    /// What was said of this key cannot be read.
    UnreadableKey(KeyId),
    Account(Decision<AccountEvent>),
    Quota {
        month: String,
        decision: Decision<QuotaEvent>,
    },
    /// It says nothing that could be read.
    Nothing,
}

impl Fact {
    /// Reads a message; none if its subject is no aggregate's.
    pub(super) async fn read(codec: &Codec, message: &Message) -> Option<Self> {
        let (category, tenant, id) = message.address()?;
        let tenant = tenant.parse::<Tenant>().ok()?;
        let what = if category == Key::CATEGORY {
            match (id.parse(), decode(codec, message).await) {
                (Ok(id), Some(decision)) => What::Key { id, decision },
                (Ok(id), None) => What::UnreadableKey(id),
                (Err(_), _) => What::Nothing,
            }
        } else if category == Account::CATEGORY {
            decode(codec, message).await.map_or(What::Nothing, What::Account)
        } else if category == Quota::CATEGORY {
            let of_month = |decision| What::Quota { month: id.to_owned(), decision };
            decode(codec, message).await.map_or(What::Nothing, of_month)
        } else {
            What::Nothing
        };
        Some(Self { tenant, sequence: message.sequence, what })
    }
}

async fn decode<E: DeserializeOwned>(codec: &Codec, message: &Message) -> Option<Decision<E>> {
    loop {
        match codec.decode(&message.payload).await {
            Ok(decision) => return Some(decision),
            Err(CodecError::Unreadable(why)) => {
                tracing::error!(
                    sequence = message.sequence,
                    why,
                    "a key or account cannot be read"
                );
                return None;
            }
            Err(CodecError::Log(_)) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}
