//! What a gateway receives while it serves: new messages of the log, and messages over NATS
//! pub/sub.

use std::{sync::Arc, time::Duration};

use ffapi_domain::Category;
use ffapi_nats::{Message, Position, PubSub, subject};
use ffapi_projections::{JobDetail, position_subject};
use tokio_util::sync::CancellationToken;

use crate::{error::GatewayError, progress, state::Gateway};

/// True for the categories that streams of events subscribe to.
const fn is_public(category: Category) -> bool {
    match category {
        Category::Job
        | Category::Batch
        | Category::Key
        | Category::Webhook
        | Category::Account
        | Category::Preset => true,
        Category::Dispatch
        | Category::KeyQuota
        | Category::Output
        | Category::QueueQuota
        | Category::Quota
        | Category::Restoration
        | Category::StorageQuota
        | Category::Upload
        | Category::WebhookQuota => false,
    }
}

/// Clears cached data after an account changed, as it may have been erased. The job cache is
/// cleared again once the read model has processed the message, because old rows may be read until
/// then.
async fn clear_account(gateway: &Arc<Gateway>, tenant: &str, sequence: u64) {
    gateway.commands.forget(tenant).await;
    gateway.caches.clear_jobs();
    let gateway = Arc::clone(gateway);
    tokio::spawn(async move {
        wait_for_rows(&gateway, sequence).await;
        gateway.caches.clear_jobs();
    });
}

/// Waits until the read model of jobs has processed this message.
async fn wait_for_rows(gateway: &Gateway, sequence: u64) {
    let epoch = gateway.commands.log().identity().epoch;
    let position = Position { epoch, sequence, index: 0 }.to_string();
    while gateway.reads.reach::<JobDetail>(Some(&position)).await.is_err() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Invalidates what is cached for the aggregate of a message.
async fn invalidate(gateway: &Arc<Gateway>, message: &Message) {
    let Some((category, owner, id)) = message.address() else { return };
    match Category::of(category) {
        Some(Category::Account) => clear_account(gateway, owner, message.sequence).await,
        Some(Category::Preset) => {
            let key = (owner.to_owned(), id.to_owned());
            gateway.caches.presets.invalidate(&key, message.sequence);
        }
        Some(Category::Job) => {
            if let Ok(id) = id.parse() {
                gateway.caches.invalidate_job(&id, message.sequence);
            }
        }
        Some(
            Category::Batch
            | Category::Dispatch
            | Category::Key
            | Category::KeyQuota
            | Category::Output
            | Category::QueueQuota
            | Category::Quota
            | Category::Restoration
            | Category::StorageQuota
            | Category::Upload
            | Category::Webhook
            | Category::WebhookQuota,
        )
        | None => {}
    }
}

/// Receives positions, progress, heartbeats and the log in a task of its own until `stop` is
/// cancelled.
pub(crate) async fn spawn(
    gateway: &Arc<Gateway>,
    stop: &CancellationToken,
) -> Result<tokio::task::JoinHandle<()>, GatewayError> {
    let log = gateway.commands.log().clone();
    let pubsub = PubSub::new(log.nats().clone());
    let mut positions = pubsub.subscribe(position_subject("*")).await?;
    let mut live = pubsub.subscribe(subject::ALL_PROGRESS).await?;
    let mut heartbeats = pubsub.subscribe(subject::worker_presence(">")).await?;
    let mut slots_wanted = pubsub.subscribe(subject::slots_wanted("*")).await?;
    let last = log.last_sequence().await?;
    let mut reader = log.follow(last.saturating_add(1));
    gateway.reads.barrier.begin(last);
    let (gateway, stop) = (Arc::clone(gateway), stop.clone());
    // The job cache stays closed until rows contain everything from before: otherwise a row that
    // lacks a message which was never received would be served until the next one.
    let (catching_up, stopped) = (Arc::clone(&gateway), stop.clone());
    tokio::spawn(async move {
        if stopped.run_until_cancelled(wait_for_rows(&catching_up, last)).await.is_some() {
            catching_up.caches.open_jobs();
        }
    });
    Ok(tokio::spawn(async move {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                Some(received) = positions.next() => {
                    gateway.reads.positions.receive(&received.subject, &received.payload);
                },
                Some(received) = live.next() => {
                    if let Some(progress) = progress::parse(&received.payload) {
                        gateway.progress.receive(&progress);
                        gateway.event_bus.publish_progress(&received.subject, progress);
                    }
                }
                Some(received) = heartbeats.next() => {
                    gateway.workers.receive(&received.payload);
                }
                Some(received) = slots_wanted.next() => {
                    gateway.queue_slots.return_unspent(&received.subject).await;
                }
                message = reader.next() => {
                    // Before subscribers are notified, so that they never read an older row
                    // afterwards.
                    invalidate(&gateway, &message).await;
                    let tenant = message.address().map(|(_, tenant, _)| tenant);
                    gateway.reads.barrier.receive(tenant, message.sequence);
                    let category = message.address().and_then(|(name, ..)| Category::of(name));
                    if category.is_some_and(is_public) {
                        gateway.event_bus.publish(message);
                    }
                }
            }
        }
    }))
}
