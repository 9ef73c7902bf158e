use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use ffapi_domain::media::Capabilities;
use serde_json::Value;

/// The workers whose heartbeats this gateway receives.
#[derive(Debug, Default)]
pub(crate) struct LiveWorkers {
    /// By worker id: when its last heartbeat was received, and what it contained.
    heartbeats: Mutex<BTreeMap<String, (Instant, Value)>>,
}

/// A worker without a heartbeat for this long counts as gone.
const TIMEOUT: Duration = Duration::from_secs(6);

impl LiveWorkers {
    /// Processes a heartbeat on `presence.worker.<id>`.
    pub(crate) fn receive(&self, subject: &str, payload: &[u8]) {
        let worker = subject.rsplit('.').next().unwrap_or_default().to_owned();
        let heartbeat = serde_json::from_slice(payload).unwrap_or_default();
        let mut heartbeats = self.heartbeats.lock().unwrap_or_else(PoisonError::into_inner);
        heartbeats.insert(worker, (Instant::now(), heartbeat));
    }

    /// The newest heartbeat of each live worker.
    pub(crate) fn all(&self) -> Vec<Value> {
        let mut heartbeats = self.heartbeats.lock().unwrap_or_else(PoisonError::into_inner);
        heartbeats.retain(|_, (received_at, _)| received_at.elapsed() < TIMEOUT);
        heartbeats.values().map(|(_, heartbeat)| heartbeat.clone()).collect()
    }

    /// The union of what the live workers can do; none if no worker is live.
    pub(crate) fn capabilities(&self) -> Option<Capabilities> {
        self.all()
            .into_iter()
            .filter_map(|mut worker| {
                serde_json::from_value(worker.get_mut("capabilities")?.take()).ok()
            })
            .reduce(|all: Capabilities, one| all.union(&one))
    }

    /// What a media request may need: without a live worker nothing is known, and everything is
    /// accepted.
    pub(crate) fn media_capabilities(&self) -> Capabilities {
        self.capabilities().unwrap_or_else(Capabilities::everything)
    }
}
