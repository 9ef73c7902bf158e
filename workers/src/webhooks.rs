//! Sends webhooks: takes endpoints that have something due, each for itself, and drains them. A dead
//! endpoint holds up nobody but itself; what is not sent waits in its row.

mod deliver;
mod hosts;
mod progress;
mod sending;
mod signature;

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use ffapi_commands::Commands;
use ffapi_domain::WebhookId;
use ffapi_nats::{LogError, PubSub, Vault};
use ffapi_projections::{
    Database, Projection, Webhooks, position_subject,
    webhooks::{self, Alive, Share},
};
use ffapi_storage::Egress;
use lru::LruCache;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Mutex, OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::{
    hosts::{Hosts, Most},
    sending::{Counted, Sending},
};
use crate::clock;

/// How webhooks are sent.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebhooksConfig {
    /// Seconds for one try, answer included.
    pub timeout: u64,
    /// Seconds between the tries: the first follows the event at once.
    pub schedule: Vec<u64>,
    /// Seconds of nothing but failure after which an endpoint is disabled.
    pub disable_after: u64,
    /// Endpoints that are sent to at once.
    pub endpoints: usize,
    /// Requests a second to one host, over all tenants; ten times as many at once after a pause.
    pub host_rate: u32,
    /// Requests that are under way to one host, over all tenants; one tenant has half of them at most.
    pub host_concurrency: usize,
}

impl Default for WebhooksConfig {
    fn default() -> Self {
        const MINUTE: u64 = 60;
        const HOUR: u64 = 60 * MINUTE;
        Self {
            timeout: 20,
            // As Standard Webhooks has it.
            schedule: vec![
                5,
                5 * MINUTE,
                30 * MINUTE,
                2 * HOUR,
                5 * HOUR,
                10 * HOUR,
                14 * HOUR,
                20 * HOUR,
                24 * HOUR,
            ],
            disable_after: 5 * 24 * HOUR,
            endpoints: 256,
            host_rate: 20,
            host_concurrency: 32,
        }
    }
}

/// Sends what the reader of the log wrote down.
#[derive(Debug)]
pub struct Sender {
    commands: Arc<Commands>,
    database: Database,
    vault: Vault,
    egress: Egress,
    config: WebhooksConfig,
    /// Secrets by who uses them and their names. An account's own secret keeps its name when the account is
    /// erased and opened anew, and is another one then; no endpoint of before is sent anything after it.
    secrets: Mutex<LruCache<(WebhookId, String), Vec<u8>>>,
    hosts: Arc<Hosts>,
    sending: Arc<Sending>,
}

/// An endpoint is ours for so long at a time.
const LEASE: Duration = Duration::from_secs(90);
/// How often the rows are asked, should no word come.
const ASK: Duration = Duration::from_millis(500);
const SECRETS: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();

impl Sender {
    /// Over these rows.
    pub fn new(
        commands: Arc<Commands>,
        database: Database,
        vault: Vault,
        egress: Egress,
        config: WebhooksConfig,
    ) -> Self {
        let secrets = Mutex::new(LruCache::new(SECRETS));
        let most = Most { rate: config.host_rate, at_once: config.host_concurrency };
        let hosts = Hosts::new(most);
        let sending = Arc::default();
        Self { commands, database, vault, egress, config, secrets, hosts, sending }
    }

    /// Sends until told to stop; what is under way then has a moment to end.
    ///
    /// # Errors
    /// When nothing can be listened to at the start. Later trouble is waited out.
    pub async fn run(self, stop: &CancellationToken) -> Result<(), LogError> {
        let live = PubSub::new(self.commands.log().nats().clone());
        let mut written = live.listen(position_subject(Webhooks::NAME)).await?;
        let this = Arc::new(self);
        let watching = {
            let (this, stop) = (Arc::clone(&this), stop.clone());
            tokio::spawn(async move { this.watch_progress(&live, &stop).await })
        };
        let room = Arc::new(Semaphore::new(this.config.endpoints.max(1)));
        let mut sending = JoinSet::new();
        let mut alive = None;
        while !stop.is_cancelled() {
            while sending.try_join_next().is_some() {}
            let taken = match this.take(&mut alive, &room, &mut sending).await {
                Ok(taken) => taken,
                Err(error) => {
                    tracing::warn!(%error, "webhooks wait for the database");
                    0
                }
            };
            if taken > 0 {
                continue;
            }
            tokio::select! {
                () = stop.cancelled() => {}
                _ = written.next() => {}
                () = tokio::time::sleep(ASK) => {}
                // Somebody is done, and may have left something for a moment later.
                Some(_) = sending.join_next() => {}
            }
        }
        watching.abort();
        let end = async { while sending.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(Duration::from_secs(3), end).await;
        Ok(())
    }

    /// Takes as many endpoints as there is room for; answers how many.
    async fn take(
        self: &Arc<Self>,
        alive: &mut Option<Alive>,
        room: &Arc<Semaphore>,
        sending: &mut JoinSet<()>,
    ) -> Result<usize, ffapi_projections::ProjectionError> {
        let free = room.available_permits();
        if free == 0 {
            return Ok(0);
        }
        let held = match alive {
            Some(held) => held.holds().await,
            None => false,
        };
        if !held {
            // Not negative, and another one for every session.
            let [a, b, c, d, ..] = Uuid::now_v7().as_u128().to_le_bytes();
            let number = i32::from_le_bytes([a, b, c, d & 0x7f]);
            *alive = Some(Alive::new(&self.database, number).await?);
        }
        let Some(alive) = alive else { return Ok(0) };
        let now = clock::now();
        // One tenant's endpoints, however many there are and however slow, leave half to the others.
        let of_tenant = self.config.endpoints.div_ceil(2).max(1);
        let held = self.sending.counts();
        let share = Share { most: free, of_tenant, held: &held, lease: LEASE };
        let codec = self.commands.codec();
        let endpoints = webhooks::claim(&self.database, codec, alive, now, share).await?;
        let taken = endpoints.len();
        for endpoint in endpoints {
            let Ok(permit) = Arc::clone(room).try_acquire_owned() else { break };
            let this = Arc::clone(self);
            let counted = self.sending.begin(&endpoint.view.tenant);
            sending.spawn(async move {
                let _held: (OwnedSemaphorePermit, Counted) = (permit, counted);
                this.drain(endpoint).await;
            });
        }
        Ok(taken)
    }
}
