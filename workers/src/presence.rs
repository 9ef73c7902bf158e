use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use ffapi_domain::{
    live::{HEARTBEAT_TIMEOUT, WorkerHeartbeat},
    media::Pool,
};

use crate::self_heartbeat::SelfHeartbeat;

/// The workers with recent heartbeats.
#[derive(Debug, Default)]
pub struct Roster {
    last_seen: BTreeMap<String, (Instant, WorkerHeartbeat)>,
    /// Workers that another one found dead.
    dead: BTreeSet<String>,
    self_heartbeat: SelfHeartbeat,
}

impl Roster {
    /// Records a worker's heartbeat; malformed payloads are ignored.
    pub fn receive(&mut self, payload: &[u8]) {
        if let Ok(heartbeat) = serde_json::from_slice::<WorkerHeartbeat>(payload) {
            self.dead.extend(heartbeat.buried.iter().cloned());
            self.last_seen.insert(heartbeat.worker.clone(), (Instant::now(), heartbeat));
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
    pub fn present(&self) -> impl Iterator<Item = &WorkerHeartbeat> {
        let recent = self.last_seen.values().filter(|(at, _)| at.elapsed() < HEARTBEAT_TIMEOUT);
        recent.map(|(_, heartbeat)| heartbeat)
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
        let accepting = self.present().filter(|heartbeat| !heartbeat.leaving);
        accepting.filter_map(|heartbeat| heartbeat.pools.get(&pool)).sum()
    }

    /// Slots of every pool that has any, busy or idle.
    pub fn pools(&self) -> BTreeMap<Pool, usize> {
        let slots = Pool::ALL.iter().map(|pool| (*pool, self.slots(*pool)));
        slots.filter(|(_, slots)| *slots > 0).collect()
    }
}
