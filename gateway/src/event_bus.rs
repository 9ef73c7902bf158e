//! Distributes messages of the log and progress to the streams and requests of this gateway that
//! wait for them, by job and by tenant.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use ffapi_domain::{JobId, Tenant, live::JobProgress};
use ffapi_nats::Message;
use tokio::sync::broadcast::{self, error::RecvError};

use crate::feed::event_view::Logged;

/// A notification for subscribers.
#[derive(Debug, Clone)]
pub(crate) enum Notification {
    /// A message was appended to the log.
    Logged(Arc<Logged>),
    /// A large message was appended to the log: it is read from there.
    LargeMessage,
    /// A worker reported progress.
    Progress(Arc<JobProgress>),
}

/// What a subscriber waits for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Topic {
    /// One job.
    Job(JobId),
    /// All jobs and batches of one tenant.
    Tenant(Tenant),
}

/// One subscription to the log, shared by every stream and every `Prefer: wait` of this gateway.
/// Subscribers are only woken for their own topic.
#[derive(Debug, Default)]
pub(crate) struct EventBus {
    topics: Mutex<HashMap<Topic, broadcast::Sender<Notification>>>,
}

/// How many notifications a subscriber may lag behind before it must read the log again. Small for
/// jobs, because each of their topics has a buffer of its own.
const JOB_CAPACITY: usize = 32;
const TENANT_CAPACITY: usize = 1024;
/// Larger messages are not kept for subscribers, which may not read for a long time. In bytes.
const MAX_KEPT_MESSAGE: usize = 16 * 1024;

impl EventBus {
    /// Notifies the subscribers of a message's job and tenant.
    pub(crate) fn publish(&self, message: Message) {
        let Some((category, tenant, id)) = message.address() else { return };
        let job = (category == "job").then(|| id.parse().ok()).flatten();
        let tenant = tenant.parse().ok();
        let notification = if message.payload.len() > MAX_KEPT_MESSAGE {
            Notification::LargeMessage
        } else {
            Notification::Logged(Arc::new(Logged::new(message)))
        };
        self.send(job.map(Topic::Job), notification.clone());
        self.send(tenant.map(Topic::Tenant), notification);
    }

    /// Notifies subscribers of progress that was published on `live.<tenant>.job.<id>.progress`.
    pub(crate) fn publish_progress(&self, subject: &str, progress: JobProgress) {
        let Some(Ok(tenant)) = subject.split('.').nth(1).map(str::parse) else { return };
        let topic = Topic::Job(progress.job_id);
        let notification = Notification::Progress(Arc::new(progress));
        self.send(Some(topic), notification.clone());
        self.send(Some(Topic::Tenant(tenant)), notification);
    }

    fn send(&self, topic: Option<Topic>, notification: Notification) {
        let Some(topic) = topic else { return };
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        // A topic without receivers is removed.
        if topics.get(&topic).is_some_and(|sender| sender.send(notification).is_err()) {
            topics.remove(&topic);
        }
    }

    pub(crate) fn subscribe(&self, topic: Topic) -> broadcast::Receiver<Notification> {
        let capacity = match topic {
            Topic::Job(_) => JOB_CAPACITY,
            Topic::Tenant(_) => TENANT_CAPACITY,
        };
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        if topics.len() % 1_024 == 1_023 {
            topics.retain(|_, sender| sender.receiver_count() > 0);
        }
        topics.entry(topic).or_insert_with(|| broadcast::Sender::new(capacity)).subscribe()
    }
}

/// The next notification; none if some were missed and the log must be read again.
pub(crate) async fn next(receiver: &mut broadcast::Receiver<Notification>) -> Option<Notification> {
    match receiver.recv().await {
        Ok(notification) => Some(notification),
        Err(RecvError::Lagged(_)) => None,
        Err(RecvError::Closed) => std::future::pending().await,
    }
}

/// Waits until a message was appended to the log, or may have been missed.
pub(crate) async fn next_logged(receiver: &mut broadcast::Receiver<Notification>) {
    while let Some(Notification::Progress(..)) = next(receiver).await {}
}
