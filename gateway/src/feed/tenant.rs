use std::{collections::BTreeMap, sync::Arc};

use ffapi_domain::{JobId, Tenant};
use ffapi_nats::{Message, Position};
use ffapi_projections::queue;
use poem::{
    Result,
    web::{Data, sse::Event},
};
use poem_openapi::{
    OpenApi,
    param::{Header, Query},
};
use serde_json::{Value, json};

use super::{
    EventView,
    follow::{Follow, PAGE, Wanted},
    page, seen, stream, translate, wants_json,
};
use crate::{
    auth::ReadAuth,
    event_bus::Topic,
    problem::{Kind, Problem},
    reply::Raw,
    state::Gateway,
};

pub(crate) struct Events;

/// A log that is so much further may hold more of an account's events than a reader should be sent.
const FAR: u64 = 20_000;
/// A reader that missed more of them begins anew, with where things stand.
const MOST: usize = 2_000;

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
        viewer: ReadAuth,
        after: Query<Option<String>>,
        limit: Query<Option<usize>>,
        #[oai(name = "Last-Event-ID")] last: Header<Option<String>>,
        #[oai(name = "Accept")] accept: Header<Option<String>>,
    ) -> Result<Raw> {
        let principal = viewer.sees()?;
        let after = match seen(last.0.as_deref(), "#Last-Event-ID")? {
            Some(last) => Some(last),
            None => seen(after.0.as_deref(), "#after")?,
        };
        let tenant = &principal.tenant;
        if wants_json(accept.0.as_deref()) {
            let limit = limit.0.unwrap_or(100);
            if !(1..=1_000).contains(&limit) {
                let detail = "a page has 1 to 1000 events";
                return Err(Problem::field(Kind::Malformed, "#limit", detail).into());
            }
            let (events, has_more) = history(&gateway, tenant, after, limit).await?;
            return Ok(page(&events, has_more));
        }
        let listener = gateway.hub.listen(Topic::Tenant(tenant.clone()));
        let now = now(&gateway).await?;
        let (first, after) = match after {
            Some(after) if is_too_old(&gateway, tenant, after, now).await? => {
                (Some(reset(&gateway, tenant, now).await?), now)
            }
            Some(after) => (None, after),
            None => (None, now),
        };
        let follow = Follow::new(&gateway, tenant, listener, first, after, Everything);
        Ok(stream(&gateway, principal, follow))
    }
}

/// Where the log ends.
pub(super) async fn now(gateway: &Gateway) -> Result<Position, Problem> {
    let log = gateway.commands.log();
    let sequence = log.last_sequence().await?;
    Ok(Position { epoch: log.identity().epoch, sequence, index: u32::MAX })
}

/// True if somebody who saw this position has missed too much of an account's events, or has seen
/// another log. However much others did meanwhile, it misses nothing by that.
pub(super) async fn is_too_old(
    gateway: &Gateway,
    tenant: &Tenant,
    after: Position,
    now: Position,
) -> Result<bool, Problem> {
    match by_distance(after, now) {
        Some(too_old) => Ok(too_old),
        None => Ok(history(gateway, tenant, Some(after), MOST).await?.1),
    }
}

/// The same as far as two positions tell; none where what is between them must be counted.
fn by_distance(after: Position, now: Position) -> Option<bool> {
    if after.epoch != now.epoch {
        return Some(true);
    }
    (now.sequence.saturating_sub(after.sequence) <= FAR).then_some(false)
}

/// Where things stand, for a reader that begins anew.
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

/// What stands in the log after a position, and whether there is more.
async fn history(
    gateway: &Gateway,
    tenant: &Tenant,
    after: Option<Position>,
    limit: usize,
) -> Result<(Vec<EventView>, bool), Problem> {
    let filter = format!("ev.*.{tenant}.>");
    let mut from = after.map_or(1, |after| after.sequence.max(1));
    let mut events: Vec<EventView> = Vec::new();
    loop {
        let messages = gateway.commands.log().page(&filter, from, PAGE).await?;
        for message in &messages {
            let mut shown = translate(gateway, message).await?;
            shown.retain(|shown| after.is_none_or(|after| shown.position > after));
            events.extend(shown);
            if events.len() > limit {
                events.truncate(limit);
                return Ok((events, true));
            }
        }
        match messages.last() {
            Some(last) if messages.len() >= PAGE => from = last.sequence.saturating_add(1),
            _ => return Ok((events, false)),
        }
    }
}

/// All of it.
struct Everything;

impl Wanted for Everything {
    fn of(&mut self, _: &Message, shown: &[EventView]) -> Vec<Event> {
        shown.iter().map(EventView::event).collect()
    }

    fn progress(&self, _: JobId, data: &Value) -> Option<Event> {
        Some(Event::message(data.to_string()).event_type("job.progress"))
    }

    fn is_over(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_of_another_log_begins_anew_and_one_far_behind_is_counted_for() {
        let at = |epoch, sequence| Position { epoch, sequence, index: 0 };
        assert_eq!(by_distance(at(1, 1), at(1, 1 + FAR)), Some(false));
        assert_eq!(by_distance(at(1, 1), at(1, 2 + FAR)), None);
        assert_eq!(by_distance(at(1, 9), at(2, 9)), Some(true));
    }
}
