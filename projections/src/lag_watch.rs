use std::time::Duration;

use ffapi_nats::Log;
use tokio_util::sync::CancellationToken;

use crate::{Database, Ends, job_detail::count_dead_letters, metrics, positions};

/// How often the ends of the streams are asked for.
const POLL_INTERVAL: Duration = Duration::from_secs(2);
/// Polls between two counts of the parked messages.
const POLLS_PER_COUNT: u32 = 8;

/// Asks for the ends of the streams until `stop` is cancelled, so that metrics show how far read models
/// are behind, also those that stand still; and counts parked messages and dead letters.
pub async fn watch_lag(database: &Database, log: &Log, stop: &CancellationToken) {
    metrics::observe_projections();
    let mut poll = tokio::time::interval(POLL_INTERVAL);
    poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for number in 0_u32.. {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = poll.tick() => {}
        }
        // Without an answer, the lag grows with the age of what was seen last.
        if let Ok(ends) = Ends::now(log).await {
            metrics::ends_seen(ends);
        }
        if number % POLLS_PER_COUNT != 0 {
            continue;
        }
        if let Ok(positions) = positions(database).await {
            let parked = positions.into_iter().map(|model| (model.name, model.parked));
            metrics::parked_counted(parked);
        }
        if let Ok(dead_letters) = count_dead_letters(database).await {
            metrics::dead_letters_counted(dead_letters);
        }
    }
}
