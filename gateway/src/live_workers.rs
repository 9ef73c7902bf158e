use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use ffapi_domain::{
    live::{HEARTBEAT_TIMEOUT, WorkerHeartbeat},
    media::Capabilities,
};

/// The workers whose heartbeats this gateway receives.
#[derive(Debug, Default)]
pub(crate) struct LiveWorkers {
    /// By worker id: when its last heartbeat was received, and what it contained.
    heartbeats: Mutex<BTreeMap<String, (Instant, WorkerHeartbeat)>>,
}

impl LiveWorkers {
    /// Records a heartbeat; a malformed one is ignored.
    pub(crate) fn receive(&self, payload: &[u8]) {
        let Ok(heartbeat) = serde_json::from_slice::<WorkerHeartbeat>(payload) else { return };
        let mut heartbeats = self.heartbeats.lock().unwrap_or_else(PoisonError::into_inner);
        heartbeats.insert(heartbeat.worker.clone(), (Instant::now(), heartbeat));
    }

    /// The newest heartbeat of each live worker.
    pub(crate) fn all(&self) -> Vec<WorkerHeartbeat> {
        let mut heartbeats = self.heartbeats.lock().unwrap_or_else(PoisonError::into_inner);
        heartbeats.retain(|_, (received_at, _)| received_at.elapsed() < HEARTBEAT_TIMEOUT);
        heartbeats.values().map(|(_, heartbeat)| heartbeat.clone()).collect()
    }

    /// The union of what the live workers can do; none if no worker is live.
    pub(crate) fn capabilities(&self) -> Option<Capabilities> {
        self.all().into_iter().map(|worker| worker.capabilities).reduce(|all, one| all.union(&one))
    }

    /// What a media request may need: without a live worker nothing is known, and everything is
    /// accepted.
    pub(crate) fn media_capabilities(&self) -> Capabilities {
        self.capabilities().unwrap_or_else(Capabilities::everything)
    }
}
