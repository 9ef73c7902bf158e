use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use ffapi_nats::{QueueHealth, Work};

use crate::metrics;

/// Recreates the work queue after it was lost: deleted, or without a leader for longer than an
/// election takes, as nats-server may leave it after a power cut of all servers.
///
/// Runs beside the conductor, which a lost queue blocks.
#[derive(Debug, Default)]
pub(super) struct QueueGuard {
    is_acting: AtomicBool,
    was_recreated: AtomicBool,
}

/// Time between two looks at the queue.
const INTERVAL: Duration = Duration::from_secs(3);
/// How long it must have been lost, while the log was led.
const LOST_FOR: Duration = Duration::from_secs(20);

impl QueueGuard {
    /// Sets whether this conductor is the one that acts; the others recreate nothing.
    pub(super) fn set_acting(&self, is_acting: bool) {
        self.is_acting.store(is_acting, Ordering::Relaxed);
    }

    /// True once after the queue was recreated: it lacks every task.
    pub(super) fn take_recreated(&self) -> bool {
        self.was_recreated.swap(false, Ordering::Relaxed)
    }

    /// Never returns.
    pub(super) async fn run(self: Arc<Self>, work: Work) {
        let mut lost_since: Option<Instant> = None;
        loop {
            tokio::time::sleep(INTERVAL).await;
            if !self.is_acting.load(Ordering::Relaxed) || work.health().await != QueueHealth::Lost {
                lost_since = None;
                continue;
            }
            let since = *lost_since.get_or_insert_with(Instant::now);
            if since.elapsed() < LOST_FOR {
                continue;
            }
            tracing::error!("the work queue is missing or has no leader; recreating it");
            match work.recreate().await {
                Ok(()) => {
                    tracing::info!("the work queue was recreated");
                    metrics::conductor::queue_recreated();
                    self.was_recreated.store(true, Ordering::Relaxed);
                }
                Err(error) => tracing::warn!(%error, "the work queue cannot be recreated yet"),
            }
        }
    }
}
