use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use ffapi_projections::{
    AuditDecisions, BatchList, Database, JobDetail, JobList, Pace, Presets, Projection,
    ProjectionError, Queue, Uploads, Usage, Webhooks, positions,
};
use tokio::sync::watch;

/// The positions of the read models, as far as they are known to this gateway.
#[derive(Debug)]
pub(crate) struct Positions {
    known: BTreeMap<&'static str, watch::Sender<u64>>,
}

/// The read models that requests read from.
const SERVED: [&str; 10] = [
    JobDetail::NAME,
    JobList::NAME,
    Queue::NAME,
    Pace::NAME,
    BatchList::NAME,
    Webhooks::NAME,
    Presets::NAME,
    Uploads::NAME,
    Usage::NAME,
    AuditDecisions::NAME,
];

impl Default for Positions {
    fn default() -> Self {
        Self { known: SERVED.map(|name| (name, watch::Sender::new(0))).into() }
    }
}

/// How often positions are read from the database meanwhile, in case a message was lost.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

impl Positions {
    /// Processes a message on `projection.<name>.position`.
    pub(crate) fn receive(&self, subject: &str, payload: &[u8]) {
        let at = std::str::from_utf8(payload).ok().and_then(|text| text.parse().ok());
        if let (Some(name), Some(at)) = (subject.split('.').nth(1), at) {
            self.advance(name, at);
        }
    }

    fn advance(&self, name: &str, at: u64) {
        let Some(model) = self.known.get(name) else { return };
        model.send_if_modified(|known| {
            let newer = at > *known;
            *known = at.max(*known);
            newer
        });
    }

    /// True if a read model is known to have reached a sequence of the log.
    pub(crate) fn has_reached<P: Projection>(&self, sequence: u64) -> bool {
        self.known.get(P::NAME).is_none_or(|model| *model.borrow() >= sequence)
    }

    /// Waits until a read model has reached a sequence, or the time is over; returns the sequence that
    /// it has reached.
    pub(crate) async fn wait<P: Projection>(
        &self,
        database: &Database,
        sequence: u64,
        timeout: Duration,
    ) -> Result<u64, ProjectionError> {
        let start = Instant::now();
        let Some(model) = self.known.get(P::NAME) else { return Ok(sequence) };
        let mut known = model.subscribe();
        loop {
            let reached = *known.borrow_and_update();
            if reached >= sequence || start.elapsed() >= timeout {
                return Ok(reached);
            }
            if tokio::time::timeout(POLL_INTERVAL, known.changed()).await.is_err() {
                for model in positions(database).await? {
                    self.advance(&model.name, model.position);
                }
            }
        }
    }
}
