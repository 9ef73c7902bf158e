//! What is appended and told, for everybody who waits for it: by job and by tenant.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use ffapi_domain::{JobId, Tenant};
use ffapi_nats::Message;
use serde_json::Value;
use tokio::sync::broadcast::{self, error::RecvError};

use crate::feed::Logged;

/// Something that was heard.
#[derive(Debug, Clone)]
pub(crate) enum Notification {
    /// It stands in the log.
    Logged(Arc<Logged>),
    /// A worker told how far it is.
    Progress(JobId, Arc<Value>),
}

/// What somebody waits for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Topic {
    /// One job.
    Job(JobId),
    /// All jobs and batches of one tenant.
    Tenant(Tenant),
}

/// One tail of the log, shared by every stream and every `Prefer: wait` of this gateway. Nobody is
/// woken for what is not theirs.
#[derive(Debug, Default)]
pub(crate) struct EventBus {
    topics: Mutex<HashMap<Topic, broadcast::Sender<Notification>>>,
}

/// What one follower may be behind before it is told to look again. Each follower of its own job has
/// room for as many: few are enough.
const BEHIND: usize = 32;
const TENANT_BEHIND: usize = 4096;

impl EventBus {
    pub(crate) fn hear(&self, message: Message) {
        let Some((category, tenant, id)) = message.address() else { return };
        let job = (category == "job").then(|| id.parse().ok()).flatten();
        let tenant = tenant.parse().ok();
        let news = Notification::Logged(Arc::new(Logged::new(message)));
        self.tell(job.map(Topic::Job), news.clone());
        self.tell(tenant.map(Topic::Tenant), news);
    }

    /// Takes in what was told on `live.<tenant>.job.<id>.progress`.
    pub(crate) fn hear_progress(&self, subject: &str, payload: &[u8]) {
        let mut parts = subject.split('.').skip(1);
        let (Some(tenant), Some(_), Some(job)) = (parts.next(), parts.next(), parts.next()) else {
            return;
        };
        let (Ok(tenant), Ok(job)) = (tenant.parse(), job.parse()) else { return };
        let Ok(event) = serde_json::from_slice::<Value>(payload) else { return };
        let Some(data) = event.get("data") else { return };
        let news = Notification::Progress(job, Arc::new(data.clone()));
        self.tell(Some(Topic::Job(job)), news.clone());
        self.tell(Some(Topic::Tenant(tenant)), news);
    }

    fn tell(&self, topic: Option<Topic>, news: Notification) {
        let Some(topic) = topic else { return };
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody listens any more.
        if topics.get(&topic).is_some_and(|sender| sender.send(news).is_err()) {
            topics.remove(&topic);
        }
    }

    pub(crate) fn listen(&self, topic: Topic) -> broadcast::Receiver<Notification> {
        let behind = match topic {
            Topic::Job(_) => BEHIND,
            Topic::Tenant(_) => TENANT_BEHIND,
        };
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        if topics.len() % 1_024 == 1_023 {
            topics.retain(|_, sender| sender.receiver_count() > 0);
        }
        topics.entry(topic).or_insert_with(|| broadcast::Sender::new(behind)).subscribe()
    }
}

/// The next thing; none if some were missed, and it is time to look again.
pub(crate) async fn next(listener: &mut broadcast::Receiver<Notification>) -> Option<Notification> {
    match listener.recv().await {
        Ok(news) => Some(news),
        Err(RecvError::Lagged(_)) => None,
        Err(RecvError::Closed) => std::future::pending().await,
    }
}

/// Waits until something stands in the log, or may.
pub(crate) async fn next_logged(listener: &mut broadcast::Receiver<Notification>) {
    while let Some(Notification::Progress(..)) = next(listener).await {}
}
