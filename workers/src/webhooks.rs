//! Sends webhooks: leases endpoints with due deliveries and drains each in its own task. A dead
//! endpoint delays only its own deliveries; unsent ones stay in the database.

mod active_endpoints;
mod deliver;
mod hosts;
mod progress;
mod signature;

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use ffapi_commands::Commands;
use ffapi_domain::WebhookId;
use ffapi_nats::{LogError, PubSub, Vault};
use ffapi_projections::{
    Database, Projection, Webhooks,
    delivery_queue::{self, SenderSession, Share},
    position_subject,
};
use ffapi_storage::{Egress, duration_setting};
use lru::LruCache;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Mutex, OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::{
    active_endpoints::{ActiveEndpoint, ActiveEndpoints},
    hosts::{HostLimits, Hosts},
};
use crate::{clock, metrics};

/// Settings for sending webhooks.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebhooksConfig {
    /// Timeout of one attempt, including the response.
    #[serde(with = "duration_setting::seconds")]
    pub timeout: Duration,
    /// Delays between attempts; the first attempt is immediate.
    #[serde(with = "duration_setting::seconds_each")]
    pub schedule: Vec<Duration>,
    /// Time of uninterrupted failure after which an endpoint is disabled.
    #[serde(with = "duration_setting::seconds")]
    pub disable_after: Duration,
    /// Endpoints that are sent to concurrently.
    pub endpoints: usize,
    /// Requests per second to one host, over all tenants; bursts of ten times as many after a
    /// pause.
    pub host_rate: u32,
    /// Concurrent requests to one host, over all tenants; one tenant gets half of them at most.
    pub host_concurrency: usize,
}

impl Default for WebhooksConfig {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(20),
            // As recommended by Standard Webhooks.
            schedule: vec![
                Duration::from_secs(5),
                Duration::from_mins(5),
                Duration::from_mins(30),
                Duration::from_hours(2),
                Duration::from_hours(5),
                Duration::from_hours(10),
                Duration::from_hours(14),
                Duration::from_hours(20),
                Duration::from_hours(24),
            ],
            disable_after: Duration::from_hours(5 * 24),
            endpoints: 256,
            host_rate: 20,
            host_concurrency: 32,
        }
    }
}

/// Sends the deliveries that the webhooks read model has written to the database.
#[derive(Debug)]
pub struct Sender {
    commands: Arc<Commands>,
    database: Database,
    vault: Vault,
    egress: Egress,
    config: WebhooksConfig,
    /// Cached secrets by endpoint and secret name. The name of an account's own secret is reused
    /// for another secret when the account is erased and opened again; endpoints from before the
    /// erasure are not sent anything after it.
    secrets: Mutex<LruCache<(WebhookId, String), Vec<u8>>>,
    hosts: Arc<Hosts>,
    active_endpoints: Arc<ActiveEndpoints>,
}

/// How long an endpoint is leased to this sender.
const ENDPOINT_LEASE: Duration = Duration::from_secs(90);
/// How often the database is polled without a notification.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// How often what is due is counted for metrics.
const COUNT_INTERVAL: Duration = Duration::from_secs(5);
/// Secrets that are cached.
const SECRET_CACHE_SIZE: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();

impl Sender {
    /// Creates a sender for the deliveries in `database`.
    pub fn new(
        commands: Arc<Commands>,
        database: Database,
        vault: Vault,
        egress: Egress,
        config: WebhooksConfig,
    ) -> Self {
        let secrets = Mutex::new(LruCache::new(SECRET_CACHE_SIZE));
        let limits = HostLimits { rate: config.host_rate, concurrency: config.host_concurrency };
        let hosts = Hosts::new(limits);
        let active_endpoints = Arc::default();
        Self { commands, database, vault, egress, config, secrets, hosts, active_endpoints }
    }

    /// Sends until `stop` is cancelled; requests in flight then get a few seconds to end.
    ///
    /// # Errors
    /// When the subscription fails at the start. Later failures are retried.
    pub async fn run(self, stop: &CancellationToken) -> Result<(), LogError> {
        metrics::webhooks::prepare();
        let pubsub = PubSub::new(self.commands.log().nats().clone());
        let mut notifications = pubsub.subscribe(position_subject(Webhooks::NAME)).await?;
        let this = Arc::new(self);
        let watching = {
            let (this, stop) = (Arc::clone(&this), stop.clone());
            tokio::spawn(async move { this.watch_progress(&pubsub, &stop).await })
        };
        let counting = {
            let (this, stop) = (Arc::clone(&this), stop.clone());
            tokio::spawn(async move { this.count_backlog(&stop).await })
        };
        let capacity = Arc::new(Semaphore::new(this.config.endpoints.max(1)));
        let mut sending = JoinSet::new();
        let mut session = None;
        while !stop.is_cancelled() {
            while sending.try_join_next().is_some() {}
            let claimed = match this.claim(&mut session, &capacity, &mut sending).await {
                Ok(claimed) => claimed,
                Err(error) => {
                    tracing::warn!(%error, "webhooks wait for the database");
                    0
                }
            };
            if claimed > 0 {
                continue;
            }
            tokio::select! {
                () = stop.cancelled() => {}
                _ = notifications.next() => {}
                () = tokio::time::sleep(POLL_INTERVAL) => {}
                // An endpoint is released and may have more deliveries due soon.
                Some(_) = sending.join_next() => {}
            }
        }
        watching.abort();
        counting.abort();
        let finished = async { while sending.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(Duration::from_secs(3), finished).await;
        Ok(())
    }

    /// Reads what is due from the database periodically, for metrics.
    async fn count_backlog(&self, stop: &CancellationToken) {
        let mut tick = tokio::time::interval(COUNT_INTERVAL);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !stop.is_cancelled() {
            tick.tick().await;
            if let Ok(backlog) = delivery_queue::backlog(&self.database, clock::now()).await {
                metrics::webhooks::backlog_read(backlog);
            }
        }
    }

    /// Leases as many endpoints with due deliveries as there is capacity for, and starts draining
    /// them; returns how many.
    async fn claim(
        self: &Arc<Self>,
        session: &mut Option<SenderSession>,
        capacity: &Arc<Semaphore>,
        sending: &mut JoinSet<()>,
    ) -> Result<usize, ffapi_projections::ProjectionError> {
        let free = capacity.available_permits();
        if free == 0 {
            return Ok(0);
        }
        let is_alive = match session {
            Some(session) => session.holds().await,
            None => false,
        };
        if !is_alive {
            // A non-negative number that differs between sessions.
            let [a, b, c, d, ..] = Uuid::now_v7().as_u128().to_le_bytes();
            let number = i32::from_le_bytes([a, b, c, d & 0x7f]);
            *session = Some(SenderSession::new(&self.database, number).await?);
        }
        let Some(session) = session else { return Ok(0) };
        let now = clock::now();
        // One tenant's endpoints, however many and however slow, leave half to the others.
        let of_tenant = self.config.endpoints.div_ceil(2).max(1);
        let held = self.active_endpoints.counts();
        let share = Share { most: free, of_tenant, held: &held, lease: ENDPOINT_LEASE };
        let codec = self.commands.codec();
        let endpoints = delivery_queue::claim(&self.database, codec, session, now, share).await?;
        let claimed = endpoints.len();
        for endpoint in endpoints {
            let Ok(permit) = Arc::clone(capacity).try_acquire_owned() else { break };
            let this = Arc::clone(self);
            let active = self.active_endpoints.begin(&endpoint.view.tenant);
            sending.spawn(async move {
                let _held: (OwnedSemaphorePermit, ActiveEndpoint) = (permit, active);
                this.drain(endpoint).await;
            });
        }
        Ok(claimed)
    }
}
