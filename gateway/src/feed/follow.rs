use std::{collections::VecDeque, sync::Arc};

use ffapi_domain::Tenant;
use ffapi_domain::live::JobProgress;
use ffapi_nats::{Message, PageLimits, Position, subject};
use poem::web::sse::Event;
use tokio::sync::broadcast;

use super::{EventView, Logged, Source, event_view::RETRY_DELAY};
use crate::{
    event_bus::{Notification, next},
    state::Gateway,
};

/// Selects the events of a tenant that one stream sends.
pub(crate) trait EventSelector: Send {
    /// The subjects to read; by default all of the tenant's.
    fn subject_filter(&self, tenant: &Tenant) -> String {
        subject::tenant(tenant)
    }

    /// The events to send for a message.
    fn select(&mut self, message: &Message, views: &[EventView]) -> Vec<Event>;

    /// The event to send for a worker's progress, if any.
    fn progress(&self, progress: &JobProgress) -> Option<Event>;

    /// True once no more events will follow.
    fn is_over(&self) -> bool;
}

/// One stream of events.
pub(crate) struct Follow<S> {
    gateway: Arc<Gateway>,
    tenant: Tenant,
    /// The position up to which it was processed.
    after: Position,
    /// The sequence from which the log is read next.
    next: u64,
    selector: S,
    receiver: broadcast::Receiver<Notification>,
    /// Events to send.
    ready: VecDeque<Event>,
    /// True if the end of the log was reached; new messages come from the event bus.
    caught_up: bool,
}

/// What is read at once while catching up: it is kept in memory until the client has read it.
pub(crate) const PAGE: PageLimits = PageLimits { messages: 100, bytes: 512 * 1024 };

impl<S: EventSelector> Follow<S> {
    /// A stream that sends `first`, and then the events after a position.
    pub(super) fn new(
        gateway: &Arc<Gateway>,
        tenant: &Tenant,
        receiver: broadcast::Receiver<Notification>,
        first: Option<Event>,
        after: Position,
        selector: S,
    ) -> Self {
        let (gateway, tenant) = (Arc::clone(gateway), tenant.clone());
        let ready = first.into_iter().collect();
        // The message at the position may have events after it.
        let next = after.sequence.max(1);
        Self { gateway, tenant, after, next, selector, receiver, ready, caught_up: false }
    }

    /// The same if `first` already contains everything up to the position.
    pub(crate) fn caught_up(
        gateway: &Arc<Gateway>,
        tenant: &Tenant,
        receiver: broadcast::Receiver<Notification>,
        first: VecDeque<Event>,
        after: Position,
        selector: S,
    ) -> Self {
        let new = Self::new(gateway, tenant, receiver, None, after, selector);
        Self { ready: first, caught_up: true, ..new }
    }

    /// Processes the next page of the log.
    async fn catch_up(&mut self) {
        let filter = self.selector.subject_filter(&self.tenant);
        match self.gateway.commands.log().page_within(&filter, self.next, PAGE).await {
            Ok(page) => {
                self.caught_up = !page.has_more;
                for message in page.messages {
                    if self.selector.is_over() {
                        return;
                    }
                    self.process(&Logged::new(message)).await;
                }
            }
            Err(error) => {
                tracing::debug!(%error, "a stream waits for the log");
                tokio::time::sleep(RETRY_DELAY).await;
            }
        }
    }

    /// Processes the new events of a message.
    async fn process(&mut self, logged: &Logged) {
        let views = logged.views(&self.gateway.commands).await;
        let new = views.partition_point(|view| view.position <= self.after);
        let new = views.get(new..).unwrap_or_default();
        self.ready.extend(self.selector.select(&logged.message, new));
        let sequence = logged.message.sequence;
        self.next = self.next.max(sequence.saturating_add(1));
        let end = Position { sequence, index: u32::MAX, ..self.after };
        let last = new.last().map(|last| last.position);
        self.after = self.after.max(last.unwrap_or(end));
    }
}

impl<S: EventSelector> Source for Follow<S> {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            // A waiting stream keeps no buffer, and rarely used futures are boxed, to save memory.
            self.ready = VecDeque::new();
            if self.selector.is_over() {
                return None;
            }
            if !self.caught_up {
                Box::pin(self.catch_up()).await;
                continue;
            }
            match next(&mut self.receiver).await {
                // Notifications were missed, or a message was not kept.
                None | Some(Notification::LargeMessage) => self.caught_up = false,
                Some(Notification::Logged(logged))
                    if logged.message.sequence <= self.after.sequence => {}
                Some(Notification::Logged(logged)) => Box::pin(self.process(&logged)).await,
                Some(Notification::Progress(progress)) => {
                    self.ready.extend(self.selector.progress(&progress));
                }
            }
        }
    }
}
