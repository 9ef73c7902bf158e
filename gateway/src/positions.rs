use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use ffapi_domain::Tenant;
use ffapi_nats::Position;
use ffapi_projections::{
    AuditDecisions, BatchList, Database, JobDetail, JobList, Pace, Presets, Projection, Queue,
    Uploads, Usage, Webhooks, positions,
};
use tokio::sync::watch;

use crate::{problem::Problem, state::Gateway};

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

/// How long a request waits for its `min_position` before it gets 503.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a read waits for a read model to contain the tenant's own events.
const OWN_EVENTS_TIMEOUT: Duration = Duration::from_secs(1);
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

    /// Waits until a read model has reached `min_position`; returns at once if there is none.
    ///
    /// # Errors
    /// When the position is invalid or of another epoch, or is not reached in time.
    pub(crate) async fn reach<P: Projection>(
        &self,
        database: &Database,
        epoch: u32,
        min_position: Option<&str>,
    ) -> Result<(), Problem> {
        let Some(text) = min_position else { return Ok(()) };
        let target: Position = text.parse().map_err(|error: ffapi_nats::ParsePositionError| {
            Problem::parameter("min_position", error.to_string())
        })?;
        if target.epoch != epoch {
            return Err(Problem::parameter(
                "min_position",
                format!("the log was restored and is now in epoch {epoch}; start over"),
            ));
        }
        match self.wait::<P>(database, target.sequence, CATCH_UP_TIMEOUT).await? {
            reached if reached >= target.sequence => Ok(()),
            sequence => Err(Problem::behind(Position { epoch, sequence, index: 0 })),
        }
    }

    /// True if a read model is known to have reached a sequence of the log.
    pub(crate) fn has_reached<P: Projection>(&self, sequence: u64) -> bool {
        self.known.get(P::NAME).is_none_or(|model| *model.borrow() >= sequence)
    }

    /// Waits until a read model has reached a sequence, or the time is over; returns the sequence that
    /// it has reached.
    async fn wait<P: Projection>(
        &self,
        database: &Database,
        sequence: u64,
        timeout: Duration,
    ) -> Result<u64, Problem> {
        let start = Instant::now();
        let Some(model) = self.known.get(P::NAME) else { return Ok(sequence) };
        let mut known = model.subscribe();
        loop {
            let reached = *known.borrow_and_update();
            if reached >= sequence || start.elapsed() >= timeout {
                return Ok(reached);
            }
            if tokio::time::timeout(POLL_INTERVAL, known.changed()).await.is_err() {
                for (name, at, _) in positions(database).await? {
                    self.advance(&name, at);
                }
            }
        }
    }
}

/// Waits until a read model has reached `min_position`, or without one, until it contains what the
/// tenant may know of: its events from before the call. A read model that stays behind for a second
/// is read as it is in that case.
///
/// # Errors
/// When `min_position` is invalid, or is not reached in time.
pub(crate) async fn catch_up<P: Projection>(
    gateway: &Gateway,
    tenant: &Tenant,
    min_position: Option<&str>,
) -> Result<(), Problem> {
    let newest = async { Ok(gateway.read_barrier.newest(gateway.commands.log(), tenant).await) };
    reach_or_wait::<P>(gateway, min_position, newest).await
}

/// As `catch_up`, with the events of all tenants.
///
/// # Errors
/// As `catch_up`, and when the log does not respond.
pub(crate) async fn catch_up_all<P: Projection>(
    gateway: &Gateway,
    min_position: Option<&str>,
) -> Result<(), Problem> {
    let end = async { Ok(gateway.commands.log().last_sequence().await?) };
    reach_or_wait::<P>(gateway, min_position, end).await
}

async fn reach_or_wait<P: Projection>(
    gateway: &Gateway,
    min_position: Option<&str>,
    newest: impl Future<Output = Result<u64, Problem>>,
) -> Result<(), Problem> {
    let (positions, database) = (&gateway.positions, &gateway.database);
    if min_position.is_some() {
        let epoch = gateway.commands.log().identity().epoch;
        return positions.reach::<P>(database, epoch, min_position).await;
    }
    positions.wait::<P>(database, newest.await?, OWN_EVENTS_TIMEOUT).await.map(|_| ())
}
