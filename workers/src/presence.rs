use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use ffapi_domain::media::{Capabilities, Pool};
use serde::{Deserialize, Serialize};

use crate::self_heartbeat::SelfHeartbeat;

/// The heartbeat that every worker publishes every two seconds, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// The worker's identifier, new at every start.
    pub worker: String,
    /// The machine's host name.
    pub host: String,
    /// Number of concurrent tasks (slots) per pool.
    pub pools: BTreeMap<Pool, usize>,
    /// `job_….attempt` of each task that it runs now.
    pub running: Vec<String>,
    /// Encoders and devices that were verified at start.
    pub capabilities: Capabilities,
    /// The sandbox that its media children run in.
    pub sandbox: String,
    /// True once it accepts no more tasks.
    #[serde(default)]
    pub leaving: bool,
    /// Dead workers of the same folder that it found at start: their locks were free.
    #[serde(default)]
    pub buried: Vec<String>,
}

/// Prefix of the subjects that heartbeats are published on, one per worker.
pub const PRESENCE: &str = "presence.worker";

/// How often a worker publishes its presence.
pub(crate) const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(2);
/// A worker without a heartbeat for this long is considered gone.
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(6);

/// The workers with recent heartbeats.
#[derive(Debug, Default)]
pub struct Roster {
    last_seen: BTreeMap<String, (Instant, Presence)>,
    /// Workers that another one found dead.
    dead: BTreeSet<String>,
    self_heartbeat: SelfHeartbeat,
}

impl Roster {
    /// Records a worker's heartbeat; malformed payloads are ignored.
    pub fn receive(&mut self, payload: &[u8]) {
        if let Ok(presence) = serde_json::from_slice::<Presence>(payload) {
            self.dead.extend(presence.buried.iter().cloned());
            self.last_seen.insert(presence.worker.clone(), (Instant::now(), presence));
        }
    }

    /// Records that this process's own heartbeat came back.
    pub(crate) fn receive_own_heartbeat(&mut self) {
        self.self_heartbeat.receive(Instant::now());
    }

    /// True if missing heartbeats mean that a worker is gone, not that we receive nothing.
    pub(crate) fn is_settled(&self) -> bool {
        self.self_heartbeat.is_settled(Instant::now())
    }

    /// True if this worker is gone: another one found it dead, or its heartbeats are missing while
    /// we do receive messages.
    pub(crate) fn is_gone(&self, worker: &str) -> bool {
        self.was_found_dead(worker) || (self.is_settled() && !self.is_present(worker))
    }

    /// Removes workers without recent heartbeats.
    pub fn prune(&mut self) {
        self.last_seen.retain(|_, (at, _)| at.elapsed() < HEARTBEAT_TIMEOUT);
    }

    /// The workers with recent heartbeats.
    pub fn present(&self) -> impl Iterator<Item = &Presence> {
        let recent = self.last_seen.values().filter(|(at, _)| at.elapsed() < HEARTBEAT_TIMEOUT);
        recent.map(|(_, presence)| presence)
    }

    /// True if another worker found this one dead, so that no timeout has to pass.
    pub fn was_found_dead(&self, worker: &str) -> bool {
        self.dead.contains(worker)
    }

    /// True if this worker has a recent heartbeat.
    pub fn is_present(&self, worker: &str) -> bool {
        let seen = self.last_seen.get(worker);
        seen.is_some_and(|(at, _)| at.elapsed() < HEARTBEAT_TIMEOUT)
    }

    /// Slots of a pool, busy or idle, of the workers that accept tasks.
    pub fn slots(&self, pool: Pool) -> usize {
        let accepting = self.present().filter(|presence| !presence.leaving);
        accepting.filter_map(|presence| presence.pools.get(&pool)).sum()
    }

    /// Slots of every pool that has any, busy or idle.
    pub fn pools(&self) -> BTreeMap<Pool, usize> {
        let slots = Pool::ALL.iter().map(|pool| (*pool, self.slots(*pool)));
        slots.filter(|(_, slots)| *slots > 0).collect()
    }
}
