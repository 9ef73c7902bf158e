use std::{collections::VecDeque, sync::Arc};

use ffapi_domain::Tenant;
use ffapi_nats::{Message, Position};
use poem::web::sse::Event;
use serde_json::Value;
use tokio::sync::broadcast;

use super::{EventView, Logged, Source, event_view::PATIENCE};
use crate::{
    event_bus::{Notification, next},
    state::Gateway,
};

/// What is followed of a tenant's events.
pub(crate) trait Wanted: Send {
    /// Where in the log it is, if not all over the tenant's part of it.
    fn filter(&self, tenant: &Tenant) -> String {
        format!("ev.*.{tenant}.>")
    }

    /// What is to be sent of a message, if it is wanted.
    fn of(&mut self, message: &Message, shown: &[EventView]) -> Vec<Event>;

    /// What is to be sent of a worker's progress, if it is wanted.
    fn progress(&self, job: ffapi_domain::JobId, data: &Value) -> Option<Event>;

    /// True once nothing more will come by itself.
    fn is_over(&self) -> bool;
}

/// One reader of events.
pub(crate) struct Follow<W> {
    gateway: Arc<Gateway>,
    tenant: Tenant,
    /// What was taken in last.
    after: Position,
    wanted: W,
    listener: broadcast::Receiver<Notification>,
    /// To be sent.
    ready: VecDeque<Event>,
    /// Everything that stands in the log was taken in; what comes is heard.
    caught_up: bool,
}

/// Messages read at once while catching up.
pub(super) const PAGE: usize = 1_000;

impl<W: Wanted> Follow<W> {
    /// One that is sent `first`, and then what comes after a position.
    pub(super) fn new(
        gateway: &Arc<Gateway>,
        tenant: &Tenant,
        listener: broadcast::Receiver<Notification>,
        first: Option<Event>,
        after: Position,
        wanted: W,
    ) -> Self {
        let (gateway, tenant) = (Arc::clone(gateway), tenant.clone());
        let ready = first.into_iter().collect();
        Self { gateway, tenant, after, wanted, listener, ready, caught_up: false }
    }

    /// The same, where everything up to the position is among `first`.
    pub(crate) fn caught_up(
        gateway: &Arc<Gateway>,
        tenant: &Tenant,
        listener: broadcast::Receiver<Notification>,
        first: VecDeque<Event>,
        after: Position,
        wanted: W,
    ) -> Self {
        let new = Self::new(gateway, tenant, listener, None, after, wanted);
        Self { ready: first, caught_up: true, ..new }
    }

    /// Takes in the next of what stands in the log.
    async fn catch_up(&mut self) {
        let filter = self.wanted.filter(&self.tenant);
        let from = self.after.sequence.max(1);
        match self.gateway.commands.log().page(&filter, from, PAGE).await {
            Ok(page) => {
                self.caught_up = page.len() < PAGE;
                for message in page {
                    if self.wanted.is_over() {
                        return;
                    }
                    self.take(&Logged::new(message)).await;
                }
            }
            Err(error) => {
                tracing::debug!(%error, "a feed waits for the log");
                tokio::time::sleep(PATIENCE).await;
            }
        }
    }

    /// Takes in what is new in a message.
    async fn take(&mut self, logged: &Logged) {
        let shown = logged.shown(&self.gateway).await;
        let new = shown.partition_point(|shown| shown.position <= self.after);
        let new = shown.get(new..).unwrap_or_default();
        self.ready.extend(self.wanted.of(&logged.message, new));
        let sequence = logged.message.sequence;
        let end = Position { sequence, index: u32::MAX, ..self.after };
        let last = new.last().map(|last| last.position);
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
                Some(Notification::Logged(logged))
                    if logged.message.sequence <= self.after.sequence => {}
                Some(Notification::Logged(logged)) => Box::pin(self.take(&logged)).await,
                Some(Notification::Progress(job, data)) => {
                    self.ready.extend(self.wanted.progress(job, &data));
                }
            }
        }
    }
}
