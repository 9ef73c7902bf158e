mod known;

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    net::IpAddr,
    sync::{
        Mutex, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use ffapi_domain::{
    Category, KeyId, Month, Tenant, Timestamp,
    account::{Limits, Tiers},
    key::{KeyState, TokenId},
    media::Micros,
    quota::QuotaState,
};
use ffapi_nats::{Codec, Log, LogError, subject};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::known::{Known, Update};
pub(crate) use self::known::{KnownAccount, KnownKey};
use super::{
    CredentialKind, Pepper, Peppers, Principal,
    error::{AuthError, CredentialsBehind},
    secret,
};
use crate::{clock, metrics, row_cache::CacheStats};

/// Every key, account and month's media minutes, held in memory and kept up to date from the log,
/// so that checking a key needs no request to another service.
///
/// It is stale if it was not confirmed for `max_lag` that the log holds nothing newer. Then it
/// accepts no key, because one that it holds may have been revoked.
#[derive(Debug)]
pub struct CredentialStore {
    peppers: Peppers,
    tiers: Tiers,
    max_lag: Duration,
    known: RwLock<Known>,
    /// When the log was last confirmed to hold nothing newer.
    fresh_at: Mutex<Option<Instant>>,
    ready: watch::Sender<bool>,
    /// Sequence of the newest message that is folded in.
    folded: watch::Sender<u64>,
    /// Notified of each change of a key or an account.
    access_changed: watch::Sender<()>,
    lookups: LookupCounters,
}

/// Numbers of key lookups: of known keys, of unknown ones, and while that could not be decided.
#[derive(Debug, Default)]
struct LookupCounters {
    known: AtomicU64,
    unknown: AtomicU64,
    stale: AtomicU64,
}

/// What it follows.
const CATEGORIES: [Category; 3] = [Category::Key, Category::Account, Category::Quota];
/// How far the clocks of other gateways may be ahead.
const MAX_CLOCK_SKEW: Duration = Duration::from_secs(10);
/// How often the log is asked for anything newer.
const FRESHNESS_POLL_INTERVAL: Duration = Duration::from_millis(500);

fn subjects() -> [String; 3] {
    CATEGORIES.map(|category| subject::category(category.as_str()))
}

impl CredentialStore {
    /// An empty store; [`CredentialStore::follow`] fills it. It accepts no key while it may be
    /// older than the log by more than `max_lag`.
    pub fn new(peppers: Peppers, tiers: Tiers, max_lag: Duration) -> Self {
        Self {
            peppers,
            tiers,
            max_lag,
            known: RwLock::default(),
            fresh_at: Mutex::default(),
            ready: watch::Sender::new(false),
            folded: watch::Sender::new(0),
            access_changed: watch::Sender::new(()),
            lookups: LookupCounters::default(),
        }
    }

    /// Follows the log until `stop` is cancelled.
    ///
    /// # Errors
    /// When the log is unavailable at the start.
    pub async fn follow(
        &self,
        log: &Log,
        codec: &Codec,
        stop: &CancellationToken,
    ) -> Result<(), LogError> {
        let started_at = Instant::now();
        let last = log.last_sequence().await?;
        for subject in subjects() {
            let mut pages = log.pages(subject, last);
            while let Some(messages) = pages.next().await? {
                for message in &messages {
                    self.fold(codec, message).await;
                }
            }
        }
        self.mark_fresh(started_at);
        self.ready.send_replace(true);
        tokio::select! {
            () = stop.cancelled() => Ok(()),
            never = self.read_on(log, codec, last.saturating_add(1)) => match never {},
            never = self.poll_freshness(log) => match never {},
        }
    }

    async fn read_on(&self, log: &Log, codec: &Codec, from: u64) -> Infallible {
        let mut reader = log.follow_only(subjects(), from);
        loop {
            self.fold(codec, &reader.next().await).await;
        }
    }

    /// Confirms periodically that everything in the log is folded in.
    async fn poll_freshness(&self, log: &Log) -> Infallible {
        let mut tick = tokio::time::interval(FRESHNESS_POLL_INTERVAL);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let polled_at = Instant::now();
            let Ok(newest) = self.newest(log).await else { continue };
            // The newest message may not have arrived yet; later ones do not matter.
            let mut folded = self.folded.subscribe();
            let reached = folded.wait_for(|folded| *folded >= newest);
            if tokio::time::timeout(self.max_lag, reached).await.is_ok() {
                self.mark_fresh(polled_at);
            }
        }
    }

    /// Everything that the log held at that time is folded in.
    fn mark_fresh(&self, at: Instant) {
        *self.fresh_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(at);
    }

    /// True if the copy may be older than the log by more than `max_lag`.
    pub(crate) fn is_stale(&self) -> bool {
        self.age().is_none_or(|age| age > self.max_lag)
    }

    /// How long ago it was confirmed that the log holds nothing newer; none if it never was.
    pub(crate) fn age(&self) -> Option<Duration> {
        let fresh_at = self.fresh_at.lock().unwrap_or_else(PoisonError::into_inner);
        fresh_at.map(|fresh_at| fresh_at.elapsed())
    }

    /// Waits until everything that the log holds now is folded in.
    ///
    /// # Errors
    /// When the log is unavailable, or this takes longer than `max_lag`.
    pub(crate) async fn catch_up(&self, log: &Log) -> Result<(), CredentialsBehind> {
        self.reach(self.newest(log).await?).await
    }

    /// Waits until the message at this stream sequence is folded in, which is about a key or an account.
    ///
    /// # Errors
    /// When this takes longer than `max_lag`.
    pub(crate) async fn reach(&self, sequence: u64) -> Result<(), CredentialsBehind> {
        let mut folded = self.folded.subscribe();
        let reached = folded.wait_for(|folded| *folded >= sequence);
        match tokio::time::timeout(self.max_lag, reached).await {
            Ok(_) => Ok(()),
            Err(_) => Err(CredentialsBehind::NotReached),
        }
    }

    async fn newest(&self, log: &Log) -> Result<u64, LogError> {
        let subjects = subjects();
        let all = subjects.iter().map(|subject| log.last_matching(subject));
        let all = futures::future::try_join_all(all).await?;
        Ok(all.into_iter().max().unwrap_or(0))
    }

    /// Waits until everything that the log held at the start is folded in.
    pub async fn ready(&self) {
        let mut ready = self.ready.subscribe();
        let _ = ready.wait_for(|ready| *ready).await;
    }

    /// Notified of every change of a key or an account; media minutes change with each job, and give or
    /// take no access.
    pub(crate) fn access_changes(&self) -> watch::Receiver<()> {
        self.access_changed.subscribe()
    }

    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    async fn fold(&self, codec: &Codec, message: &ffapi_nats::Message) {
        let Some(update) = Update::read(codec, message).await else { return };
        let (changes_access, revoked_at) = (update.changes_access(), update.revoked_at());
        self.known.write().unwrap_or_else(PoisonError::into_inner).apply(update);
        if changes_access {
            self.access_changed.send_replace(());
        }
        // Those that were revoked before this process started say nothing about it.
        if let Some(revoked_at) = revoked_at.filter(|_| *self.ready.borrow()) {
            metrics::key_revoked(clock::now().since(revoked_at));
        }
        self.folded.send_if_modified(|folded| {
            *folded = message.sequence.max(*folded);
            true
        });
    }

    /// Authenticates a secret that was sent from this address, and counts the lookup.
    pub(crate) fn check(
        &self,
        sent: &str,
        from: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<Principal, AuthError> {
        let found = self.look_up(sent, from, now);
        let counter = match &found {
            Err(AuthError::Unknown) => &self.lookups.unknown,
            Err(AuthError::Stale | AuthError::NotYetKnown) => &self.lookups.stale,
            Ok(_) | Err(AuthError::Revoked | AuthError::Expired | AuthError::Address) => {
                &self.lookups.known
            }
        };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// The number of keys, and of lookups by outcome.
    pub(crate) fn stats(&self) -> CacheStats {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let LookupCounters { known, unknown, stale } = &self.lookups;
        CacheStats {
            entries: self.read().keys.len(),
            hits: count(known),
            misses: count(unknown),
            stale: count(stale),
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
        let Some(key) = known.keys.get(&id) else { return Err(self.unknown_key(id, now)) };
        let held = key.state.key().ok_or(AuthError::Unknown)?;
        let matches =
            |kept: &ffapi_domain::key::StoredSecret| self.peppers.matches(&secret, &kept.hash);
        if !held.secrets.iter().any(matches) {
            // It may be the newest secret of the key.
            return Err(if self.is_stale() { AuthError::Stale } else { AuthError::Unknown });
        }
        if !held.valid_secrets(now).any(matches) {
            return Err(AuthError::Revoked);
        }
        drop(known);
        self.admit(id, from, now)
    }

    /// The error for a key that is not known: it may have been created since the last confirmation.
    fn unknown_key(&self, id: KeyId, now: Timestamp) -> AuthError {
        let fresh_at = *self.fresh_at.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(age) = fresh_at.map(|fresh_at| fresh_at.elapsed()) else {
            return AuthError::Stale;
        };
        if age > self.max_lag {
            return AuthError::Stale;
        }
        let created = id.uuid().get_timestamp().map(|created| {
            let (seconds, nanos) = created.to_unix();
            seconds.saturating_mul(1_000).saturating_add(u64::from(nanos / 1_000_000))
        });
        let now = now.as_millis();
        let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        let skew = u64::try_from(MAX_CLOCK_SKEW.as_millis()).unwrap_or(u64::MAX);
        let unconfirmed = now.saturating_sub(age)..=now.saturating_add(skew);
        if created.is_some_and(|created| unconfirmed.contains(&created)) {
            AuthError::NotYetKnown
        } else {
            AuthError::Unknown
        }
    }

    /// The principal of a key, whose secret or token was verified before.
    pub(crate) fn admit(
        &self,
        id: KeyId,
        from: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<Principal, AuthError> {
        if self.is_stale() {
            return Err(AuthError::Stale);
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
        known.check_address(&key.tenant, Some(&held.terms.allowed_ips), from)?;
        Ok(Principal {
            key: id,
            tenant: key.tenant.clone(),
            scopes: held.scopes.clone(),
            terms: held.terms.clone(),
            makers: held.makers.clone(),
            address: from,
            until: None,
            token: None,
            credential: CredentialKind::Key,
        })
    }

    /// The principal of a token whose signature was verified before, with all permissions of its key.
    pub(crate) fn admit_token(
        &self,
        key: KeyId,
        token: TokenId,
        from: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<Principal, AuthError> {
        let principal = self.admit(key, from, now)?;
        if self.is_token_revoked(key, &token) {
            return Err(AuthError::Unknown);
        }
        Ok(Principal { token: Some(token), ..principal })
    }

    /// True if a token of this key was revoked by itself.
    pub(crate) fn is_token_revoked(&self, key: KeyId, token: &TokenId) -> bool {
        let known = self.read();
        let held = known.keys.get(&key).and_then(|key| key.state.key());
        held.is_some_and(|held| held.revoked_tokens.contains_key(token))
    }

    /// Checks that an issuer's token for this tenant is accepted from this address.
    pub(crate) fn admit_issued(
        &self,
        tenant: &Tenant,
        from: Option<IpAddr>,
    ) -> Result<(), AuthError> {
        if self.is_stale() {
            return Err(AuthError::Stale);
        }
        self.read().check_address(tenant, None, from)
    }

    /// Checks again a principal that was authenticated before.
    pub(crate) fn recheck(
        &self,
        principal: &Principal,
        now: Timestamp,
    ) -> Result<Principal, AuthError> {
        match principal.credential {
            CredentialKind::Key => match principal.token.clone() {
                Some(token) => self.admit_token(principal.key, token, principal.address, now),
                None => self.admit(principal.key, principal.address, now),
            },
            CredentialKind::Issued => {
                self.admit_issued(&principal.tenant, principal.address)?;
                Ok(principal.clone())
            }
        }
    }

    /// The key and tenant that a secret names, whether it is valid or not.
    pub(crate) fn holder(&self, sent: &str) -> Option<(KeyId, Tenant)> {
        let (id, _) = secret::parse(sent)?;
        self.read().keys.get(&id).map(|key| (id, key.tenant.clone()))
    }

    /// The limits of a tenant.
    pub(crate) fn limits(&self, tenant: &Tenant) -> Limits {
        self.account(tenant).state.limits(&self.tiers)
    }

    /// A tenant's account.
    pub(crate) fn account(&self, tenant: &Tenant) -> KnownAccount {
        self.read().accounts.get(tenant).cloned().unwrap_or_default()
    }

    /// Up to `limit` tenants that have keys or an account, by name, after the cursor.
    pub(crate) fn tenants(&self, after: Option<&Tenant>, limit: usize) -> Vec<Tenant> {
        let known = self.read();
        let all: BTreeSet<&Tenant> =
            known.accounts.keys().chain(known.keys.values().map(|key| &key.tenant)).collect();
        let later = all.into_iter().filter(|tenant| after.is_none_or(|after| *tenant > after));
        later.take(limit).cloned().collect()
    }

    /// A tenant's media minutes, used and reserved, by month.
    pub(crate) fn months(&self, tenant: &Tenant) -> BTreeMap<String, QuotaState> {
        self.read().quotas.get(tenant).cloned().unwrap_or_default()
    }

    /// A tenant's media time, used and reserved, in the month of `now`.
    pub(crate) fn taken(&self, tenant: &Tenant, now: Timestamp) -> Micros {
        let known = self.read();
        let month = Month::of(now).to_string();
        known.quotas.get(tenant).and_then(|months| months.get(&month)).map_or(0, QuotaState::taken)
    }

    /// The limits of each tier.
    pub(crate) const fn tiers(&self) -> &Tiers {
        &self.tiers
    }

    /// The secret under which new keys are hashed.
    pub(crate) const fn pepper(&self) -> &Pepper {
        &self.peppers.current
    }

    /// The secrets under which keys may be hashed.
    pub(crate) const fn peppers(&self) -> &Peppers {
        &self.peppers
    }

    /// A key of any tenant.
    pub(crate) fn key(&self, id: KeyId) -> Option<KnownKey> {
        self.read().keys.get(&id).cloned()
    }

    /// The keys of a tenant, or of all tenants, oldest first.
    pub(crate) fn keys(&self, tenant: Option<&Tenant>) -> Vec<KnownKey> {
        let known = self.read();
        let belongs = |key: &&KnownKey| tenant.is_none_or(|tenant| key.tenant == *tenant);
        let mut keys: Vec<KnownKey> = known.keys.values().filter(belongs).cloned().collect();
        keys.sort_by_key(|key| key.id);
        keys
    }

    /// The keys that are rotated automatically.
    pub(crate) fn rotated_keys(&self) -> Vec<KnownKey> {
        let known = self.read();
        let rotated = |key: &&KnownKey| match &key.state {
            KeyState::Active(held) => held.terms.rotate_every.is_some(),
            KeyState::Unknown | KeyState::Revoked(_) => false,
        };
        known.keys.values().filter(rotated).cloned().collect()
    }

    /// True if the tenant ever had a key or an account.
    pub(crate) fn knows(&self, tenant: &Tenant) -> bool {
        let known = self.read();
        known.accounts.contains_key(tenant) || known.keys.values().any(|key| key.tenant == *tenant)
    }
}
