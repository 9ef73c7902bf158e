use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use ffapi_domain::media::Pool;

use super::Conductor;
use crate::metrics::conductor::{QueueState, queue_changed};

/// How often the state of the queue is counted for metrics.
const COUNT_INTERVAL: Duration = Duration::from_secs(1);

impl Conductor {
    /// Counts the jobs that wait and run, for metrics; only the conductor that acts does.
    pub(super) fn count_queue(&mut self) {
        if self.counted.is_some_and(|at| at.elapsed() < COUNT_INTERVAL) {
            return;
        }
        self.counted = Some(Instant::now());
        let acts = self.caught_up && self.leadership.is_leader();
        queue_changed(acts.then(|| self.queue_state()));
    }

    fn queue_state(&self) -> QueueState {
        let (slots, workers) = {
            let roster = self.roster();
            (roster.pools(), roster.present().count())
        };
        let (mut released, mut running) = (BTreeMap::<Pool, usize>::new(), BTreeMap::new());
        for flight in self.dispatch.in_flight().values() {
            let counts = if flight.worker.is_some() { &mut running } else { &mut released };
            *counts.entry(flight.pool).or_default() += 1;
        }
        QueueState {
            backlog: self.dispatch.backlog(&slots.keys().copied().collect()),
            released,
            running,
            slots,
            workers,
            unreadable: self.unreadable.len(),
        }
    }
}
