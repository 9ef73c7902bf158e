mod known;

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::IpAddr,
    sync::{
        Mutex, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use ffapi_domain::{
    KeyId, Tenant, Timestamp,
    account::{Limits, Tiers},
    key::KeyState,
    media::Micros,
    quota::{Month, QuotaState},
};
use ffapi_nats::{Codec, Log, LogError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::known::{Fact, Known};
pub(crate) use self::known::{KnownAccount, KnownKey};
use super::{CredentialKind, Pepper, Principal, secret};
use crate::{
    problem::{Kind, Problem},
    row_cache::CacheStats,
};

/// Every key, account and month's minutes, in memory, as new as the log: an unknown id costs no look-up anywhere.
///
/// It is behind if the log was not seen to hold nothing newer for too long; then it opens to
/// nobody, for a key that it holds may have been revoked.
#[derive(Debug)]
pub struct CredentialStore {
    pepper: Pepper,
    tiers: Tiers,
    patience: Duration,
    known: RwLock<Known>,
    /// When nothing newer than what is known stood in the log.
    proven: Mutex<Option<Instant>>,
    ready: watch::Sender<bool>,
    /// Sequence of the newest message folded in.
    folded: watch::Sender<u64>,
    looks: Looks,
}

/// How often a key was looked up: it was known, it was none, nobody could tell.
#[derive(Debug, Default)]
struct Looks {
    known: AtomicU64,
    unknown: AtomicU64,
    behind: AtomicU64,
}

/// Why a secret opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AuthError {
    /// It is no secret of ours.
    Unknown,
    /// Its key was revoked, or the secret's grace is over.
    Revoked,
    /// Its key's time is over.
    Expired,
    /// It does not open from this address.
    Address,
    /// Nobody knows whether it was revoked meanwhile.
    Behind,
    /// It is none that we heard of, and says that it was made after what we heard last.
    Unheard,
}

const SUBJECTS: [&str; 3] = ["ev.key.>", "ev.account.>", "ev.quota.>"];
/// How far other gateways' clocks may go before ours.
const SKEW: Duration = Duration::from_secs(10);
/// How often it is looked whether the log holds anything newer.
const LOOK: Duration = Duration::from_millis(500);

impl CredentialStore {
    /// An empty one; [`CredentialStore::follow`] fills it. It opens to nobody when it may be behind the log
    /// for longer than `patience`.
    pub fn new(pepper: Pepper, tiers: Tiers, patience: Duration) -> Self {
        Self {
            pepper,
            tiers,
            patience,
            known: RwLock::default(),
            proven: Mutex::default(),
            ready: watch::Sender::new(false),
            folded: watch::Sender::new(0),
            looks: Looks::default(),
        }
    }

    /// Follows the log until told to stop.
    ///
    /// # Errors
    /// When the log cannot be had at the start.
    pub async fn follow(
        &self,
        log: &Log,
        codec: &Codec,
        stop: &CancellationToken,
    ) -> Result<(), LogError> {
        let begun = Instant::now();
        let last = log.last_sequence().await?;
        for subject in SUBJECTS {
            for message in &log.load_matching(subject, last).await? {
                self.fold(codec, message).await;
            }
        }
        self.prove(begun);
        self.ready.send_replace(true);
        tokio::select! {
            () = stop.cancelled() => Ok(()),
            never = self.read_on(log, codec, last.saturating_add(1)) => match never {},
            never = self.look(log) => match never {},
        }
    }

    async fn read_on(&self, log: &Log, codec: &Codec, from: u64) -> Infallible {
        let mut reader = log.follow_only(&SUBJECTS, from);
        loop {
            self.fold(codec, &reader.next().await).await;
        }
    }

    /// Looks whether the log holds anything newer than what is known.
    async fn look(&self, log: &Log) -> Infallible {
        let mut tick = tokio::time::interval(LOOK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let asked = Instant::now();
            let Ok(newest) = self.newest(log).await else { continue };
            // What was appended just now is folded in a moment; what comes after it proves nothing less.
            let mut folded = self.folded.subscribe();
            let reached = folded.wait_for(|folded| *folded >= newest);
            if tokio::time::timeout(self.patience, reached).await.is_ok() {
                self.prove(asked);
            }
        }
    }

    /// Everything is known that the log held then.
    fn prove(&self, then: Instant) {
        *self.proven.lock().unwrap_or_else(PoisonError::into_inner) = Some(then);
    }

    /// True if a key may have been revoked without our knowing.
    pub(crate) fn is_behind(&self) -> bool {
        let proven = self.proven.lock().unwrap_or_else(PoisonError::into_inner);
        proven.is_none_or(|proven| proven.elapsed() > self.patience)
    }

    /// Waits until everything is known that the log holds now.
    ///
    /// # Errors
    /// When the log does not answer, or it takes too long.
    pub(crate) async fn catch_up(&self, log: &Log) -> Result<(), Problem> {
        let newest = self.newest(log).await?;
        let mut folded = self.folded.subscribe();
        let reached = folded.wait_for(|folded| *folded >= newest);
        match tokio::time::timeout(self.patience, reached).await {
            Ok(_) => Ok(()),
            Err(_) => Err(Problem::new(
                Kind::Unavailable,
                "this gateway's copy of keys and accounts is not up to date; try again",
            )),
        }
    }

    async fn newest(&self, log: &Log) -> Result<u64, LogError> {
        let all = SUBJECTS.map(|subject| log.last_matching(subject));
        let all = futures::future::try_join_all(all).await?;
        Ok(all.into_iter().max().unwrap_or(0))
    }

    /// Waits until everything that existed at the start is known.
    pub async fn ready(&self) {
        let mut ready = self.ready.subscribe();
        let _ = ready.wait_for(|ready| *ready).await;
    }

    /// Told whenever a key or an account changed.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.folded.subscribe()
    }

    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    async fn fold(&self, codec: &Codec, message: &ffapi_nats::Message) {
        let Some(fact) = Fact::read(codec, message).await else { return };
        self.known.write().unwrap_or_else(PoisonError::into_inner).learn(fact);
        self.folded.send_if_modified(|folded| {
            *folded = message.sequence.max(*folded);
            true
        });
    }

    /// Whose a secret is and what it may do from this address now.
    pub(crate) fn check(
        &self,
        sent: &str,
        from: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<Principal, AuthError> {
        let found = self.look_up(sent, from, now);
        let counter = match &found {
            Err(AuthError::Unknown) => &self.looks.unknown,
            Err(AuthError::Behind | AuthError::Unheard) => &self.looks.behind,
            Ok(_) | Err(AuthError::Revoked | AuthError::Expired | AuthError::Address) => {
                &self.looks.known
            }
        };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// How many keys there are, and how looking them up went.
    pub(crate) fn figures(&self) -> CacheStats {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Looks { known, unknown, behind } = &self.looks;
        CacheStats {
            entries: self.read().keys.len(),
            hits: count(known),
            misses: count(unknown),
            stale: count(behind),
        }
    }

    fn look_up(
        &self,
        sent: &str,
        from: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<Principal, AuthError> {
        let (id, secret) = secret::parse(sent).ok_or(AuthError::Unknown)?;
        let known = self.read();
        let Some(key) = known.keys.get(&id) else { return Err(self.unknown(id, now)) };
        let held = key.state.key().ok_or(AuthError::Unknown)?;
        let ours = |kept: &ffapi_domain::key::KeptSecret| {
            kept.pepper_version == self.pepper.version && self.pepper.matches(&secret, &kept.hash)
        };
        if !held.secrets.iter().any(ours) {
            // It may be the newest one of its key.
            return Err(if self.is_behind() { AuthError::Behind } else { AuthError::Unknown });
        }
        if !held.open_secrets(now).any(ours) {
            return Err(AuthError::Revoked);
        }
        drop(known);
        self.admit(id, from, now)
    }

    /// What is to be said of a key that is not known: nothing, where it may have been made meanwhile.
    fn unknown(&self, id: KeyId, now: Timestamp) -> AuthError {
        let proven = *self.proven.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(age) = proven.map(|proven| proven.elapsed()) else { return AuthError::Behind };
        if age > self.patience {
            return AuthError::Behind;
        }
        let made = id.uuid().get_timestamp().map(|made| {
            let (seconds, nanos) = made.to_unix();
            seconds.saturating_mul(1_000).saturating_add(u64::from(nanos / 1_000_000))
        });
        let now = now.as_millis();
        let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        let skewed = u64::try_from(SKEW.as_millis()).unwrap_or(u64::MAX);
        let meanwhile = now.saturating_sub(age)..=now.saturating_add(skewed);
        if made.is_some_and(|made| meanwhile.contains(&made)) {
            AuthError::Unheard
        } else {
            AuthError::Unknown
        }
    }

    /// What a key may do, however it was shown to be its holder who asks.
    pub(crate) fn admit(
        &self,
        id: KeyId,
        from: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<Principal, AuthError> {
        if self.is_behind() {
            return Err(AuthError::Behind);
        }
        let known = self.read();
        let key = known.keys.get(&id).ok_or(AuthError::Unknown)?;
        let KeyState::Active(held) = &key.state else { return Err(AuthError::Revoked) };
        if known.unreadable.contains(&id) {
            return Err(AuthError::Revoked);
        }
        if held.is_expired(now) {
            return Err(AuthError::Expired);
        }
        known.opens_from(&key.tenant, Some(&held.terms.allowed_ips), from)?;
        Ok(Principal {
            key: id,
            tenant: key.tenant.clone(),
            scopes: held.scopes.clone(),
            terms: held.terms.clone(),
            makers: held.makers.clone(),
            address: from,
            until: None,
            shown: CredentialKind::Key,
        })
    }

    /// Whether somebody of a tenant may come whom an issuer vouches for.
    pub(crate) fn admit_issued(
        &self,
        tenant: &Tenant,
        from: Option<IpAddr>,
    ) -> Result<(), AuthError> {
        if self.is_behind() {
            return Err(AuthError::Behind);
        }
        self.read().opens_from(tenant, None, from)
    }

    /// Whether a principal that was let in may still be there.
    pub(crate) fn still(
        &self,
        principal: &Principal,
        now: Timestamp,
    ) -> Result<Principal, AuthError> {
        match principal.shown {
            CredentialKind::Key => self.admit(principal.key, principal.address, now),
            CredentialKind::Issued => {
                self.admit_issued(&principal.tenant, principal.address)?;
                Ok(principal.clone())
            }
        }
    }

    /// Whose a key is that somebody shows, whether it opens or not.
    pub(crate) fn holder(&self, sent: &str) -> Option<(KeyId, Tenant)> {
        let (id, _) = secret::parse(sent)?;
        self.read().keys.get(&id).map(|key| (id, key.tenant.clone()))
    }

    /// What a tenant may have.
    pub(crate) fn limits(&self, tenant: &Tenant) -> Limits {
        self.account(tenant).state.limits(&self.tiers)
    }

    /// A tenant's account.
    pub(crate) fn account(&self, tenant: &Tenant) -> KnownAccount {
        self.read().accounts.get(tenant).cloned().unwrap_or_default()
    }

    /// A tenant's months, with what of their minutes is used and reserved.
    pub(crate) fn months(&self, tenant: &Tenant) -> BTreeMap<String, QuotaState> {
        self.read().quotas.get(tenant).cloned().unwrap_or_default()
    }

    /// What of a tenant's minutes is used and reserved in the month of this moment.
    pub(crate) fn taken(&self, tenant: &Tenant, now: Timestamp) -> Micros {
        let known = self.read();
        let month = Month::of(now).to_string();
        known.quotas.get(tenant).and_then(|months| months.get(&month)).map_or(0, QuotaState::taken)
    }

    /// What each tier allows.
    pub(crate) const fn tiers(&self) -> &Tiers {
        &self.tiers
    }

    /// Under what secrets are hashed.
    pub(crate) const fn pepper(&self) -> &Pepper {
        &self.pepper
    }

    /// A key, whoever's.
    pub(crate) fn key(&self, id: KeyId) -> Option<KnownKey> {
        self.read().keys.get(&id).cloned()
    }

    /// The keys of a tenant, or of all, the oldest first.
    pub(crate) fn keys(&self, tenant: Option<&Tenant>) -> Vec<KnownKey> {
        let known = self.read();
        let of = |key: &&KnownKey| tenant.is_none_or(|tenant| key.tenant == *tenant);
        let mut keys: Vec<KnownKey> = known.keys.values().filter(of).cloned().collect();
        keys.sort_by_key(|key| key.id);
        keys
    }

    /// The keys that are rotated by themselves.
    pub(crate) fn rotated_keys(&self) -> Vec<KnownKey> {
        let known = self.read();
        let rotated = |key: &&KnownKey| match &key.state {
            KeyState::Active(held) => held.terms.rotate_every.is_some(),
            KeyState::Unknown | KeyState::Revoked(_) => false,
        };
        known.keys.values().filter(rotated).cloned().collect()
    }

    /// True if somebody ever had a key or an account of this name.
    pub(crate) fn knows(&self, tenant: &Tenant) -> bool {
        let known = self.read();
        known.accounts.contains_key(tenant) || known.keys.values().any(|key| key.tenant == *tenant)
    }
}
