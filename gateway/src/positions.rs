use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use ffapi_nats::Position;
use ffapi_projections::{
    AuditDecisions, BatchList, Database, JobDetail, JobList, Pace, Presets, Projection, Queue,
    Webhooks, positions,
};
use tokio::sync::watch;

use crate::problem::{Kind, Problem};

/// How far the read side is, as it told us last.
#[derive(Debug)]
pub(crate) struct Positions {
    known: BTreeMap<&'static str, watch::Sender<u64>>,
}

/// The read models that are answered from.
const SERVED: [&str; 8] = [
    JobDetail::NAME,
    JobList::NAME,
    Queue::NAME,
    Pace::NAME,
    BatchList::NAME,
    Webhooks::NAME,
    Presets::NAME,
    AuditDecisions::NAME,
];

impl Default for Positions {
    fn default() -> Self {
        Self { known: SERVED.map(|name| (name, watch::Sender::new(0))).into() }
    }
}

/// How long a reader waits for its own write before it is told to come again.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often the table is asked, should the word have been lost.
const ASK: Duration = Duration::from_millis(100);

impl Positions {
    /// Takes in what was told on `projection.<name>.position`.
    pub(crate) fn hear(&self, subject: &str, payload: &[u8]) {
        let at = std::str::from_utf8(payload).ok().and_then(|text| text.parse().ok());
        if let (Some(name), Some(at)) = (subject.split('.').nth(1), at) {
            self.learn(name, at);
        }
    }

    fn learn(&self, name: &str, at: u64) {
        let Some(model) = self.known.get(name) else { return };
        model.send_if_modified(|known| {
            let newer = at > *known;
            *known = at.max(*known);
            newer
        });
    }

    /// Waits until a read model has reached what the reader has seen.
    pub(crate) async fn reach<P: Projection>(
        &self,
        database: &Database,
        epoch: u32,
        wanted: Option<&str>,
    ) -> Result<(), Problem> {
        let Some(wanted) = wanted else { return Ok(()) };
        let wanted: Position = wanted.parse().map_err(|error: ffapi_nats::BadPosition| {
            Problem::field(Kind::Malformed, "#min_position", error.to_string())
        })?;
        if wanted.epoch != epoch {
            return Err(Problem::field(
                Kind::Malformed,
                "#min_position",
                format!("the log is in epoch {epoch} since it was restored; start over"),
            ));
        }
        let start = Instant::now();
        let Some(model) = self.known.get(P::NAME) else { return Ok(()) };
        let mut known = model.subscribe();
        loop {
            if *known.borrow_and_update() >= wanted.sequence {
                return Ok(());
            }
            if start.elapsed() >= PATIENCE {
                let sequence = *known.borrow();
                return Err(Problem::behind(Position { epoch, sequence, index: 0 }));
            }
            if tokio::time::timeout(ASK, known.changed()).await.is_err() {
                for (name, at, _) in positions(database).await? {
                    self.learn(&name, at);
                }
            }
        }
    }
}
