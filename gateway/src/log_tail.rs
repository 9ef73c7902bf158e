//! What a gateway hears while it serves: the log, and what is told beside it.

use std::{
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use ffapi_domain::{Decider, account::Account, job::Job, preset::Preset};
use ffapi_nats::{Message, Position, PubSub};
use ffapi_projections::{JobDetail, position_subject};
use tokio_util::sync::CancellationToken;

use crate::{queue_slots, server::GatewayError, state::Gateway};

/// What is followed of the log.
const FOLLOWED: [&str; 6] =
    ["ev.job.>", "ev.batch.>", "ev.key.>", "ev.hook.>", "ev.account.>", "ev.preset.>"];

/// An account that changed may be one that was erased: nothing of it is kept in memory, neither what
/// is there now nor what is read before the rows are written anew.
async fn forget(gateway: &Arc<Gateway>, tenant: &str, sequence: u64) {
    gateway.commands.forget(tenant).await;
    gateway.rows.clear();
    let gateway = Arc::clone(gateway);
    tokio::spawn(async move {
        written(&gateway, sequence).await;
        gateway.rows.clear();
    });
}

/// Waits until the rows of jobs hold this message.
async fn written(gateway: &Gateway, sequence: u64) {
    let epoch = gateway.commands.log().identity().epoch;
    let position = Position { epoch, sequence, index: 0 }.to_string();
    let (positions, database) = (&gateway.positions, &gateway.database);
    while positions.reach::<JobDetail>(database, epoch, Some(&position)).await.is_err() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// What is kept in memory of a message's thing is old now.
async fn outdate(gateway: &Arc<Gateway>, message: &Message) {
    let Some((category, owner, id)) = message.address() else { return };
    if category == Account::CATEGORY {
        forget(gateway, owner, message.sequence).await;
    } else if category == Preset::CATEGORY {
        gateway.presets.hear(&(owner.to_owned(), id.to_owned()), message.sequence);
    } else if category == Job::CATEGORY
        && let Ok(id) = id.parse()
    {
        gateway.rows.hear(&id, message.sequence);
    }
}

/// Hears positions, progress, presence and the log, for as long as the gateway serves.
pub(crate) async fn hear(
    gateway: &Arc<Gateway>,
    stop: &CancellationToken,
) -> Result<tokio::task::JoinHandle<()>, GatewayError> {
    let log = gateway.commands.log().clone();
    let live = PubSub::new(log.nats().clone());
    let mut positions = live.listen(position_subject("*")).await?;
    let mut progress = live.listen("live.*.job.*.progress").await?;
    let mut presence = live.listen("presence.worker.>").await?;
    let mut wanted = live.listen(format!("{}.*", queue_slots::WANTED)).await?;
    let last = log.last_sequence().await?;
    let mut reader = log.follow_only(&FOLLOWED, last.saturating_add(1));
    let (gateway, stop) = (Arc::clone(gateway), stop.clone());
    // A row that lacks what was not heard of would be served until something else is.
    let (catching_up, stopped) = (Arc::clone(&gateway), stop.clone());
    tokio::spawn(async move {
        if stopped.run_until_cancelled(written(&catching_up, last)).await.is_some() {
            catching_up.rows.open();
        }
    });
    Ok(tokio::spawn(async move {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                Some(heard) = positions.next() => {
                    gateway.positions.hear(&heard.subject, &heard.payload);
                },
                Some(heard) = progress.next() => {
                    gateway.progress.hear(&heard.payload);
                    gateway.hub.hear_progress(&heard.subject, &heard.payload);
                }
                Some(heard) = presence.next() => {
                    let worker = heard.subject.rsplit('.').next().unwrap_or_default().to_owned();
                    let body = serde_json::from_slice(&heard.payload).unwrap_or_default();
                    let mut workers =
                        gateway.workers.lock().unwrap_or_else(PoisonError::into_inner);
                    workers.insert(worker, (Instant::now(), body));
                }
                Some(heard) = wanted.next() => queue_slots::hear(&gateway, &heard.subject).await,
                message = reader.next() => {
                    // Before anybody is told: who reads then sees what is told of.
                    outdate(&gateway, &message).await;
                    gateway.hub.hear(message);
                }
            }
        }
    }))
}
