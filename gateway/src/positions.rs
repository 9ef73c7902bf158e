use std::time::{Duration, Instant};

use nats::Position;
use projections::{Database, Jobs, Projection, positions};
use tokio::sync::watch;

use crate::problem::{Kind, Problem};

/// How far the read side is, as it told us last.
#[derive(Debug)]
pub(crate) struct Positions {
    jobs: watch::Sender<u64>,
}

impl Default for Positions {
    fn default() -> Self {
        Self { jobs: watch::Sender::new(0) }
    }
}

/// How long a reader waits for its own write before it is told to come again.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often the table is asked, should the word have been lost.
const ASK: Duration = Duration::from_millis(100);

impl Positions {
    pub(crate) fn hear(&self, payload: &[u8]) {
        if let Some(at) =
            std::str::from_utf8(payload).ok().and_then(|text| text.parse::<u64>().ok())
        {
            self.jobs.send_if_modified(|known| {
                let newer = at > *known;
                *known = at.max(*known);
                newer
            });
        }
    }

    /// Waits until the read side has reached what the reader has seen.
    pub(crate) async fn reach(
        &self,
        database: &Database,
        epoch: u32,
        wanted: Option<&str>,
    ) -> Result<(), Problem> {
        let Some(wanted) = wanted else { return Ok(()) };
        let wanted: Position = wanted.parse().map_err(|error: nats::BadPosition| {
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
        let mut known = self.jobs.subscribe();
        loop {
            if *known.borrow_and_update() >= wanted.sequence {
                return Ok(());
            }
            if start.elapsed() >= PATIENCE {
                let sequence = *known.borrow();
                return Err(Problem::behind(Position { epoch, sequence, index: 0 }));
            }
            if tokio::time::timeout(ASK, known.changed()).await.is_err() {
                let all = positions(database).await?;
                let at = all.iter().find(|(name, ..)| name == Jobs::NAME).map_or(0, |row| row.1);
                self.hear(at.to_string().as_bytes());
            }
        }
    }
}
