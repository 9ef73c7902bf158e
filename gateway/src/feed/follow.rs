use std::{collections::VecDeque, sync::Arc, time::Duration};

use domain::Tenant;
use nats::{Message, Position};
use poem::web::sse::Event;
use serde_json::Value;
use tokio::sync::broadcast;

use super::{Shown, Source, translate};
use crate::{
    events::{News, next},
    state::Gateway,
};

/// What is followed of a tenant's events.
pub(super) trait Wanted: Send {
    /// What is to be sent of a message, if it is wanted.
    fn of(&mut self, message: &Message, shown: Vec<Shown>) -> Vec<Event>;

    /// What is to be sent of a worker's progress, if it is wanted.
    fn progress(&self, job: domain::JobId, data: &Value) -> Option<Event>;

    /// True once nothing more will come by itself.
    fn is_over(&self) -> bool;
}

/// One reader of a tenant's events.
pub(super) struct Follow<W> {
    gateway: Arc<Gateway>,
    tenant: Tenant,
    /// What was taken in last.
    after: Position,
    wanted: W,
    listener: broadcast::Receiver<News>,
    /// To be sent.
    ready: VecDeque<Event>,
    /// Everything that stands in the log was taken in; what comes is heard.
    caught_up: bool,
}

/// Messages read at once while catching up.
pub(super) const PAGE: usize = 1_000;
/// Between two tries while the log does not answer.
const PATIENCE: Duration = Duration::from_millis(200);

impl<W: Wanted> Follow<W> {
    /// One that is sent `first`, and then what comes after a position.
    pub(super) fn new(
        (gateway, tenant): (&Arc<Gateway>, &Tenant),
        listener: broadcast::Receiver<News>,
        (first, after): (Option<Event>, Position),
        wanted: W,
    ) -> Self {
        let (gateway, tenant) = (Arc::clone(gateway), tenant.clone());
        let ready = first.into_iter().collect();
        Self { gateway, tenant, after, wanted, listener, ready, caught_up: false }
    }

    /// Takes in the next of what stands in the log.
    async fn catch_up(&mut self) {
        let filter = format!("ev.*.{}.>", self.tenant);
        let from = self.after.sequence.max(1);
        match self.gateway.commands.log().page(&filter, from, PAGE).await {
            Ok(page) => {
                for message in &page {
                    if self.wanted.is_over() {
                        return;
                    }
                    self.take(message).await;
                }
                self.caught_up = page.len() < PAGE;
            }
            Err(error) => {
                tracing::debug!(%error, "a feed waits for the log");
                tokio::time::sleep(PATIENCE).await;
            }
        }
    }

    /// Takes in what is new in a message.
    async fn take(&mut self, message: &Message) {
        let mut shown = loop {
            match translate(&self.gateway, message).await {
                Ok(shown) => break shown,
                Err(nats::CodecError::Unreadable(why)) => {
                    tracing::error!(sequence = message.sequence, why, "message passed over");
                    break vec![];
                }
                Err(nats::CodecError::Log(_)) => tokio::time::sleep(PATIENCE).await,
            }
        };
        shown.retain(|shown| shown.position > self.after);
        let last = shown.last().map(|last| last.position);
        self.ready.extend(self.wanted.of(message, shown));
        let end = Position { sequence: message.sequence, index: u32::MAX, ..self.after };
        self.after = self.after.max(last.unwrap_or(end));
    }
}

impl<W: Wanted> Source for Follow<W> {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            // Who waits keeps nothing of what was sent; what is done now and then is boxed.
            self.ready = VecDeque::new();
            if self.wanted.is_over() {
                return None;
            }
            if !self.caught_up {
                Box::pin(self.catch_up()).await;
                continue;
            }
            match next(&mut self.listener).await {
                // Something was missed.
                None => self.caught_up = false,
                Some(News::Logged(message)) if message.sequence <= self.after.sequence => {}
                Some(News::Logged(message)) => Box::pin(self.take(&message)).await,
                Some(News::Progress(job, data)) => {
                    self.ready.extend(self.wanted.progress(job, &data));
                }
            }
        }
    }
}
