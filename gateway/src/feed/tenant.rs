use std::{collections::BTreeMap, ops::ControlFlow, sync::Arc};

use ffapi_domain::{Tenant, live::JobProgress};
use ffapi_nats::{Message, Position, subject};
use ffapi_projections::queue;
use poem::{
    Result,
    web::{Data, sse::Event},
};
use poem_openapi::{
    OpenApi,
    param::{Header, Query},
};
use serde_json::json;

use super::{
    EventPage, EventView,
    event_view::progress_event,
    follow::{EventSelector, Follow, PAGE},
    last_event_id, page, read_position, stream, translate, wants_json,
};
use crate::{
    auth::ReadAuth, event_bus::Topic, problem::Problem, reply::Raw, state::Gateway, tenant_slots,
};

pub(crate) struct Events;

/// Up to this many messages behind the end of the log, a client can always resume; beyond, the
/// account's events in between are counted.
const UNCOUNTED_LAG: u64 = 20_000;
/// A client that missed more events of its account than this gets a `reset`.
const MAX_MISSED_EVENTS: usize = 2_000;
/// Messages that one request reads: many messages of an account are no events for its clients.
const MAX_SCANNED: usize = 20_000;

#[OpenApi(prefix_path = "/api/v1")]
impl Events {
    /// Stream an account's events
    ///
    /// Server-sent events after `Last-Event-ID` or `after`, or from now on; with `Accept:
    /// application/json` a page of the stored events after it, or from the beginning. A reader that
    /// is too far behind gets a `reset` event with the current position.
    #[oai(path = "/events", method = "get", operation_id = "getEvents")]
    async fn events(
        &self,
        gateway: Data<&Arc<Gateway>>,
        auth: ReadAuth,
        after: Query<Option<String>>,
        limit: Query<Option<usize>>,
        #[oai(name = "Last-Event-ID")] last: Header<Option<String>>,
        #[oai(name = "Accept")] accept: Header<Option<String>>,
    ) -> Result<Raw> {
        let principal = auth.require_read()?;
        let after = match last_event_id(last.0.as_deref())? {
            Some(last) => Some(last),
            None => {
                read_position(after.0.as_deref(), |detail| Problem::parameter("after", detail))?
            }
        };
        let tenant = &principal.tenant;
        if wants_json(accept.0.as_deref()) {
            let limit = limit.0.unwrap_or(100);
            if !(1..=1_000).contains(&limit) {
                let detail = "a page has 1 to 1000 events";
                return Err(Problem::parameter("limit", detail).into());
            }
            return Ok(page(&history(&gateway, tenant, after, limit).await?));
        }
        let receiver = gateway.event_bus.subscribe(Topic::Tenant(tenant.clone()));
        let now = now(&gateway).await?;
        let (first, after) = match after {
            Some(after) if is_too_old(&gateway, tenant, after, now).await? => {
                (Some(reset(&gateway, tenant, now).await?), now)
            }
            Some(after) => (None, after),
            None => (None, now),
        };
        let follow = Follow::new(&gateway, tenant, receiver, first, after, AllEvents);
        Ok(stream(&gateway, principal, follow))
    }
}

/// The position of the end of the log.
pub(super) async fn now(gateway: &Gateway) -> Result<Position, Problem> {
    let log = gateway.commands.log();
    let sequence = log.last_sequence().await?;
    Ok(Position { epoch: log.identity().epoch, sequence, index: u32::MAX })
}

/// True if a client at this position has missed too many events of its account, or saw the log in
/// another epoch. Other tenants' events do not count.
pub(super) async fn is_too_old(
    gateway: &Gateway,
    tenant: &Tenant,
    after: Position,
    now: Position,
) -> Result<bool, Problem> {
    if let Some(too_old) = by_distance(after, now) {
        return Ok(too_old);
    }
    let mut missed: usize = 0;
    let scanned = scan(gateway, tenant, Some(after), |_, views| {
        missed = missed.saturating_add(views.len());
        if missed > MAX_MISSED_EVENTS { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    Ok(scanned.await? != Scanned::All)
}

/// The same by the positions alone; none if the events in between must be counted.
fn by_distance(after: Position, now: Position) -> Option<bool> {
    if after.epoch != now.epoch {
        return Some(true);
    }
    (now.sequence.saturating_sub(after.sequence) <= UNCOUNTED_LAG).then_some(false)
}

/// The `reset` event: the current state and position for a client that starts over.
async fn reset(gateway: &Gateway, tenant: &Tenant, now: Position) -> Result<Event, Problem> {
    let depth = queue::depth(&gateway.database, tenant).await?;
    let queued: BTreeMap<String, u64> = depth
        .queued
        .iter()
        .map(|(lane, jobs)| (json!(lane).as_str().unwrap_or_default().to_owned(), *jobs))
        .collect();
    let state = json!({
        "type": "reset",
        "data": { "queued": queued, "processing": depth.processing },
    });
    Ok(Event::message(state.to_string()).id(now.to_string()).event_type("reset"))
}

/// The size of a page from which it is not continued, in bytes of the log.
const MAX_PAGE_BYTES: usize = 4 * 1024 * 1024;

/// Up to `limit` events of an account after a position; fewer if they are large, or if many messages
/// in between are no events.
async fn history(
    gateway: &Gateway,
    tenant: &Tenant,
    after: Option<Position>,
    limit: usize,
) -> Result<EventPage, Problem> {
    let mut events: Vec<EventView> = Vec::new();
    let mut bytes = 0;
    let scanned = scan(gateway, tenant, after, |message, views| {
        if bytes > MAX_PAGE_BYTES && !views.is_empty() {
            return ControlFlow::Break(());
        }
        bytes += if views.is_empty() { 0 } else { message.payload.len() };
        events.extend(views);
        if events.len() > limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let scanned = scanned.await?;
    events.truncate(limit);
    let last = events.last().map(|event| event.position);
    Ok(match scanned {
        Scanned::All => EventPage { events, next: last, has_more: false },
        Scanned::Stopped => EventPage { events, next: last, has_more: true },
        Scanned::UpTo(position) => EventPage { events, next: Some(position), has_more: true },
    })
}

/// How far the messages of an account were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scanned {
    All,
    /// Until the visitor broke.
    Stopped,
    /// As many as one request may read.
    UpTo(Position),
}

/// Passes the events of an account after a position to `visit`, by message, until it breaks or
/// [`MAX_SCANNED`] messages were read.
async fn scan(
    gateway: &Gateway,
    tenant: &Tenant,
    after: Option<Position>,
    mut visit: impl FnMut(&Message, Vec<EventView>) -> ControlFlow<()>,
) -> Result<Scanned, Problem> {
    let _slot = tenant_slots::of_list(tenant).await?;
    let log = gateway.commands.log();
    let filter = subject::tenant(tenant);
    let mut from = after.map_or(1, |after| after.sequence.max(1));
    let mut read: usize = 0;
    loop {
        let page = log.page_within(&filter, from, PAGE).await?;
        for message in &page.messages {
            let mut views = translate(&gateway.commands, message).await?;
            views.retain(|view| after.is_none_or(|after| view.position > after));
            if visit(message, views).is_break() {
                return Ok(Scanned::Stopped);
            }
        }
        let Some(last) = page.messages.last().filter(|_| page.has_more) else {
            return Ok(Scanned::All);
        };
        read = read.saturating_add(page.messages.len());
        if read >= MAX_SCANNED {
            let epoch = log.identity().epoch;
            return Ok(Scanned::UpTo(Position { epoch, sequence: last.sequence, index: u32::MAX }));
        }
        from = last.sequence.saturating_add(1);
    }
}

/// Selects all events of an account.
struct AllEvents;

impl EventSelector for AllEvents {
    fn select(&mut self, _: &Message, views: &[EventView]) -> Vec<Event> {
        views.iter().map(EventView::event).collect()
    }

    fn progress(&self, progress: &JobProgress) -> Option<Event> {
        Some(progress_event(progress))
    }

    fn is_over(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_epoch_is_too_old_and_a_large_lag_must_be_counted() {
        let at = |epoch, sequence| Position { epoch, sequence, index: 0 };
        assert_eq!(by_distance(at(1, 1), at(1, 1 + UNCOUNTED_LAG)), Some(false));
        assert_eq!(by_distance(at(1, 1), at(1, 2 + UNCOUNTED_LAG)), None);
        assert_eq!(by_distance(at(1, 9), at(2, 9)), Some(true));
    }
}
