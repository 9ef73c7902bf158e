//! Slots in the queue: leased from the account in blocks, spent one a job.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use ffapi_commands::{Caller, HandleError};
use ffapi_domain::{
    LeaseId, Tenant,
    queue_quota::{QueueQuota, QueueQuotaCommand, QueueQuotaRejection},
};
use futures::future::join_all;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{clock, problem::Problem, state::Gateway};

/// What this gateway may spend, of each tenant.
#[derive(Debug, Default)]
pub(crate) struct QueueSlots {
    held: Mutex<HashMap<Tenant, Arc<Held>>>,
}

#[derive(Debug, Default)]
struct Held {
    leases: Mutex<Vec<Lease>>,
    /// Locked while a block is asked for: whoever else needs a place waits for the same one. Holds when
    /// the queue was full last.
    asking: tokio::sync::Mutex<Option<Instant>>,
}

#[derive(Debug)]
struct Lease {
    id: LeaseId,
    left: u32,
    ends: Instant,
}

/// Slots for some jobs. Those that are not spent go back.
#[derive(Debug)]
pub(crate) struct Slots {
    lease: LeaseId,
    count: u32,
    held: Arc<Held>,
}

/// So many at once, where there is plenty of room.
const BLOCK: u32 = 256;
/// How long a lease is spent from. What a gateway that dies held comes back half a minute later.
const TERM: Duration = Duration::from_secs(30);
/// Of that, how much is left for what was sent in time to arrive.
const MARGIN: Duration = Duration::from_secs(10);
/// How long a full queue is given: other gateways may hold places, and jobs end.
const PATIENCE: Duration = Duration::from_millis(600);
const LOOK: Duration = Duration::from_millis(100);
const SWEEP: Duration = Duration::from_secs(2);
/// Who refuses asks the others for what they hold, by `<this>.<tenant>`.
pub(crate) const WANTED: &str = "ctl.room";

impl Held {
    fn leases(&self) -> std::sync::MutexGuard<'_, Vec<Lease>> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(self: &Arc<Self>, count: u32) -> Option<Slots> {
        let now = Instant::now();
        let mut leases = self.leases();
        let lease = leases.iter_mut().find(|lease| lease.left >= count && lease.ends > now)?;
        lease.left = lease.left.saturating_sub(count);
        Some(Slots { lease: lease.id, count, held: Arc::clone(self) })
    }

    fn put_back(&self, id: LeaseId, count: u32) {
        if let Some(lease) = self.leases().iter_mut().find(|lease| lease.id == id) {
            lease.left = lease.left.saturating_add(count);
        }
    }

    /// Takes out what is to be returned: of leases that are over, or of all.
    fn unspent(&self, all: bool) -> Vec<(LeaseId, u32)> {
        let now = Instant::now();
        let mut unspent = Vec::new();
        self.leases().retain(|lease| {
            let over = all || lease.ends <= now;
            if over && lease.left > 0 {
                unspent.push((lease.id, lease.left));
            }
            !over
        });
        unspent
    }
}

impl Slots {
    /// What jobs name that spend one of them.
    pub(crate) const fn lease(&self) -> LeaseId {
        self.lease
    }

    /// So many of them are spent, or may be. Said before the log is asked: whoever waits for its answer
    /// may go away, and what is spent then must not be given to another.
    pub(crate) const fn spend(&mut self, count: u32) {
        self.count = self.count.saturating_sub(count);
    }

    /// So many were not spent after all: the log refused.
    pub(crate) const fn keep(&mut self, count: u32) {
        self.count = self.count.saturating_add(count);
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        if self.count > 0 {
            self.held.put_back(self.lease, self.count);
        }
    }
}

impl QueueSlots {
    fn of(&self, tenant: &Tenant) -> Arc<Held> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(held.entry(tenant.clone()).or_default())
    }

    /// What is held of each tenant; tenants of which nothing is are forgotten.
    fn all(&self) -> Vec<(Tenant, Arc<Held>)> {
        let mut all = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, held| Arc::strong_count(held) > 1 || !held.leases().is_empty());
        all.iter().map(|(tenant, held)| (tenant.clone(), Arc::clone(held))).collect()
    }
}

/// Slots for so many jobs of a tenant.
///
/// # Errors
/// When its queue is full, or the log does not answer.
pub(crate) async fn take(gateway: &Gateway, tenant: &Tenant, count: u32) -> Result<Slots, Problem> {
    let held = gateway.rooms.of(tenant);
    if let Some(places) = held.take(count) {
        return Ok(places);
    }
    let came = Instant::now();
    let mut full = held.asking.lock().await;
    // Of many who come to a full queue, the first waits for all of them.
    let patience = if full.is_some_and(|full| full >= came) { Duration::ZERO } else { PATIENCE };
    let start = Instant::now();
    loop {
        // Whoever was before us may have got enough for both.
        if let Some(places) = held.take(count) {
            return Ok(places);
        }
        match ask(gateway, tenant, &held, count).await {
            Ok(()) => {}
            Err(HandleError::Rejected(_)) if start.elapsed() < patience => {
                gateway.live.tell(format!("{WANTED}.{tenant}"), "").await;
                tokio::time::sleep(LOOK).await;
            }
            Err(error) => {
                if matches!(error, HandleError::Rejected(_)) {
                    *full = Some(Instant::now());
                }
                return Err(error.into());
            }
        }
    }
}

/// Leases a block.
async fn ask(
    gateway: &Gateway,
    tenant: &Tenant,
    held: &Held,
    count: u32,
) -> Result<(), HandleError<QueueQuotaRejection>> {
    let lease = LeaseId::from_uuid(Uuid::now_v7());
    let limit = gateway.directory.limits(tenant).queue_places;
    // What many jobs need is a lease of its own: no other gateway holds so many for long.
    let most = if count == 1 { BLOCK } else { count };
    let ends = Instant::now().checked_add(TERM.saturating_sub(MARGIN)).unwrap_or_else(Instant::now);
    let until = clock::now().plus(TERM);
    let command = QueueQuotaCommand::Lease { lease, least: count, most, until, limit };
    let (name, caller) = (tenant.as_str(), Caller::process("gateway"));
    gateway.commands.handle::<QueueQuota>(name, name, &caller, command).await?;
    let left = gateway.commands.state::<QueueQuota>(name, name).await?.places(lease);
    held.leases().push(Lease { id: lease, left, ends });
    Ok(())
}

/// Gives back what is held of a tenant and not spent: of leases that are over, or everything.
async fn give_back(gateway: &Gateway, tenant: &Tenant, held: &Held, all: bool) {
    let unspent = held.unspent(all);
    if unspent.is_empty() {
        return;
    }
    let (name, caller) = (tenant.as_str(), Caller::process("gateway"));
    let command = QueueQuotaCommand::Return { unspent };
    let returned = gateway.commands.handle::<QueueQuota>(name, name, &caller, command).await;
    if let Err(error) = returned {
        // The conductor takes them back a while after the lease.
        tracing::warn!(%error, %tenant, "places were not given back");
    }
}

/// Another gateway found a tenant's queue full.
pub(crate) async fn hear(gateway: &Gateway, subject: &str) {
    let tenant = subject.rsplit('.').next().and_then(|tenant| tenant.parse().ok());
    let Some(tenant): Option<Tenant> = tenant else { return };
    let held = gateway.rooms.of(&tenant);
    give_back(gateway, &tenant, &held, true).await;
}

/// Gives back what leases that are over have left until told to stop, and then everything.
pub(crate) async fn run(gateway: Arc<Gateway>, stop: &CancellationToken) {
    loop {
        let stopping = tokio::select! {
            () = stop.cancelled() => true,
            () = tokio::time::sleep(SWEEP) => false,
        };
        let all = gateway.rooms.all();
        join_all(all.iter().map(|(tenant, held)| give_back(&gateway, tenant, held, stopping)))
            .await;
        if stopping {
            return;
        }
    }
}
