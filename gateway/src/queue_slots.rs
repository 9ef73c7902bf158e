//! Queue slots: leased from the account's quota in blocks, and spent one per job.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use ffapi_commands::{Caller, Commands, HandleError};
use ffapi_domain::{
    LeaseId, Tenant,
    queue_quota::{QueueQuota, QueueQuotaCommand, QueueQuotaRejection},
};
use ffapi_nats::{PubSub, subject};
use futures::future::join_all;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    auth::CredentialStore,
    clock,
    metrics::{self, Limit},
};

/// The slots that this gateway has leased, by tenant.
#[derive(Debug)]
pub(crate) struct QueueSlots {
    commands: Arc<Commands>,
    credentials: Arc<CredentialStore>,
    pubsub: PubSub,
    by_tenant: Mutex<HashMap<Tenant, Arc<TenantLeases>>>,
}

/// Which leases of a tenant end.
#[derive(Debug, Clone, Copy)]
enum Ending {
    /// Those that have expired.
    Expired,
    All,
}

/// Why no slots were taken.
pub(crate) type QueueSlotsError = HandleError<QueueQuotaRejection>;

#[derive(Debug, Default)]
struct TenantLeases {
    leases: Mutex<Vec<Lease>>,
    /// Locked while a block is leased, so that concurrent requests wait for the same block. Holds
    /// the time when the queue was last found to be full.
    leasing: tokio::sync::Mutex<Option<Instant>>,
}

#[derive(Debug)]
struct Lease {
    id: LeaseId,
    unspent: u32,
    expires_at: Instant,
}

/// Slots for some jobs. Unspent ones are returned on drop.
#[derive(Debug)]
pub(crate) struct Slots {
    lease: LeaseId,
    count: u32,
    leases: Arc<TenantLeases>,
}

/// Slots that are leased at once while the quota is large enough.
const BLOCK: u32 = 256;
/// How long a lease lasts. The slots of a gateway that dies are free again half a minute later.
const LEASE_DURATION: Duration = Duration::from_secs(30);
/// How long before its end a lease is no longer spent from, so that commands arrive in time.
const LEASE_MARGIN: Duration = Duration::from_secs(10);
/// How long a request waits at a full queue: other gateways may return slots, and jobs end.
const FULL_QUEUE_TIMEOUT: Duration = Duration::from_millis(600);
const RETRY_DELAY: Duration = Duration::from_millis(100);
/// How often slots of expired leases are returned.
const SWEEP_INTERVAL: Duration = Duration::from_secs(2);

impl TenantLeases {
    fn leases(&self) -> std::sync::MutexGuard<'_, Vec<Lease>> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(self: &Arc<Self>, count: u32) -> Option<Slots> {
        let now = Instant::now();
        let mut leases = self.leases();
        let usable = |lease: &&mut Lease| lease.unspent >= count && lease.expires_at > now;
        let lease = leases.iter_mut().find(usable)?;
        lease.unspent = lease.unspent.saturating_sub(count);
        Some(Slots { lease: lease.id, count, leases: Arc::clone(self) })
    }

    fn put_back(&self, id: LeaseId, count: u32) {
        if let Some(lease) = self.leases().iter_mut().find(|lease| lease.id == id) {
            lease.unspent = lease.unspent.saturating_add(count);
        }
    }

    /// Removes leases, and returns their unspent slots.
    fn take_unspent(&self, ending: Ending) -> Vec<(LeaseId, u32)> {
        let now = Instant::now();
        let mut unspent = Vec::new();
        self.leases().retain(|lease| {
            let ended = matches!(ending, Ending::All) || lease.expires_at <= now;
            if ended && lease.unspent > 0 {
                unspent.push((lease.id, lease.unspent));
            }
            !ended
        });
        unspent
    }
}

impl Slots {
    /// The lease, to be named by the jobs that spend these slots.
    pub(crate) const fn lease(&self) -> LeaseId {
        self.lease
    }

    /// Marks all slots as spent; returns their number. Called before the command is sent: the request may be cancelled while
    /// it waits for the log, and slots that may be spent must not be used again.
    pub(crate) const fn spend_all(&mut self) -> u32 {
        std::mem::replace(&mut self.count, 0)
    }

    /// Marks slots as unspent again, after the command was rejected.
    pub(crate) const fn refund(&mut self, count: u32) {
        self.count = self.count.saturating_add(count);
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        if self.count > 0 {
            self.leases.put_back(self.lease, self.count);
        }
    }
}

impl QueueSlots {
    pub(crate) fn new(
        commands: Arc<Commands>,
        credentials: Arc<CredentialStore>,
        pubsub: PubSub,
    ) -> Self {
        Self { commands, credentials, pubsub, by_tenant: Mutex::default() }
    }

    fn of(&self, tenant: &Tenant) -> Arc<TenantLeases> {
        let mut by_tenant = self.by_tenant.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(by_tenant.entry(tenant.clone()).or_default())
    }

    /// The leases of each tenant; tenants without any are removed.
    fn all(&self) -> Vec<(Tenant, Arc<TenantLeases>)> {
        let mut all = self.by_tenant.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, leases| Arc::strong_count(leases) > 1 || !leases.leases().is_empty());
        all.iter().map(|(tenant, leases)| (tenant.clone(), Arc::clone(leases))).collect()
    }

    /// Takes slots for `count` jobs of a tenant.
    ///
    /// # Errors
    /// When its queue is full, or the log is unavailable.
    pub(crate) async fn take(&self, tenant: &Tenant, count: u32) -> Result<Slots, QueueSlotsError> {
        let leases = self.of(tenant);
        if let Some(slots) = leases.take(count) {
            return Ok(slots);
        }
        let arrived_at = Instant::now();
        let mut full = leases.leasing.lock().await;
        // Of concurrent requests at a full queue, only the first one waits.
        let waited = full.is_some_and(|full| full >= arrived_at);
        let timeout = if waited { Duration::ZERO } else { FULL_QUEUE_TIMEOUT };
        let start = Instant::now();
        loop {
            // The previous holder of the lock may have leased enough.
            if let Some(slots) = leases.take(count) {
                return Ok(slots);
            }
            match self.lease_block(tenant, &leases, count).await {
                Ok(()) => {}
                Err(HandleError::Rejected(_)) if start.elapsed() < timeout => {
                    self.pubsub.publish(subject::slots_wanted(tenant), "").await;
                    tokio::time::sleep(RETRY_DELAY).await;
                }
                Err(error) => {
                    if matches!(error, HandleError::Rejected(_)) {
                        metrics::limit_reached(Limit::QueueSlots);
                        *full = Some(Instant::now());
                    }
                    return Err(error);
                }
            }
        }
    }

    /// Leases a block of slots.
    async fn lease_block(
        &self,
        tenant: &Tenant,
        leases: &TenantLeases,
        count: u32,
    ) -> Result<(), QueueSlotsError> {
        let lease = LeaseId::from_uuid(Uuid::now_v7());
        let limit = self.credentials.limits(tenant).queue_places;
        // A batch gets a lease of exactly its size, so that no gateway holds that many for long.
        let most = if count == 1 { BLOCK } else { count };
        let spendable = LEASE_DURATION.saturating_sub(LEASE_MARGIN);
        let expires_at = Instant::now().checked_add(spendable).unwrap_or_else(Instant::now);
        let until = clock::now().plus(LEASE_DURATION);
        let command = QueueQuotaCommand::Lease { lease, least: count, most, until, limit };
        let (name, caller) = (tenant.as_str(), Caller::process("gateway"));
        let leased = self.commands.handle::<QueueQuota>(name, name, &caller, command).await?;
        let unspent = leased.state.slots(lease);
        leases.leases().push(Lease { id: lease, unspent, expires_at });
        Ok(())
    }

    /// Returns a tenant's unspent slots.
    async fn give_back(&self, tenant: &Tenant, leases: &TenantLeases, ending: Ending) {
        let unspent = leases.take_unspent(ending);
        if unspent.is_empty() {
            return;
        }
        let (name, caller) = (tenant.as_str(), Caller::process("gateway"));
        let command = QueueQuotaCommand::Return { unspent };
        let returned = self.commands.handle::<QueueQuota>(name, name, &caller, command).await;
        if let Err(error) = returned {
            // The conductor takes them back some time after the end of the lease.
            tracing::warn!(%error, %tenant, "queue slots were not returned");
        }
    }

    /// Returns all unspent slots of a tenant, because another gateway found its queue to be full.
    pub(crate) async fn return_unspent(&self, subject: &str) {
        let tenant = subject.rsplit('.').next().and_then(|tenant| tenant.parse().ok());
        let Some(tenant): Option<Tenant> = tenant else { return };
        let leases = self.of(&tenant);
        self.give_back(&tenant, &leases, Ending::All).await;
    }

    /// Returns the unspent slots of expired leases until `stop` is cancelled, and then all.
    pub(crate) async fn run(&self, stop: &CancellationToken) {
        loop {
            let ending = tokio::select! {
                () = stop.cancelled() => Ending::All,
                () = tokio::time::sleep(SWEEP_INTERVAL) => Ending::Expired,
            };
            let all = self.all();
            let returns = all.iter().map(|(tenant, leases)| self.give_back(tenant, leases, ending));
            join_all(returns).await;
            if matches!(ending, Ending::All) {
                return;
            }
        }
    }
}
