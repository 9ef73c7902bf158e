use std::sync::Arc;

use ffapi_domain::{Decider, JobId, Tenant, job::Job, live::JobProgress};
use ffapi_nats::{Message, subject};
use poem::web::sse::Event;

use crate::{
    auth::Principal,
    event_bus::Topic,
    feed::{self, EventPage, EventSelector, EventView, Follow, progress_event, translate},
    problem::Problem,
    reply::Raw,
    state::Gateway,
};

/// The history as JSON, or the history and new events as server-sent events.
pub(crate) async fn events(
    gateway: &Arc<Gateway>,
    principal: &Principal,
    id: JobId,
    last: Option<String>,
    accept: Option<String>,
) -> Result<Raw, Problem> {
    let tenant = &principal.tenant;
    let seen = feed::last_event_id(last.as_deref())?;
    // Subscribes first: what is appended in between is received twice, and sent once.
    let receiver = gateway.event_bus.subscribe(Topic::Job(id));
    let history = history(gateway, tenant, id).await?;
    let Some(newest) = history.last() else { return Err(Problem::not_found("job")) };
    if feed::wants_json(accept.as_deref()) {
        let next = Some(newest.position);
        return Ok(feed::page(&EventPage { events: history, next, has_more: false }));
    }
    // A browser's EventSource connects again after the end, until it gets this status.
    if newest.terminal && seen.is_some_and(|seen| seen >= newest.position) {
        return Ok(feed::ended());
    }
    let unseen = history.iter().filter(|event| seen.is_none_or(|seen| event.position > seen));
    // Follows from the end of the log even if the client claims a later position, so that it still
    // gets the last event.
    let first = unseen.map(EventView::event).collect();
    let selector = OneJob { id, over: newest.terminal };
    let follow = Follow::caught_up(gateway, tenant, receiver, first, newest.position, selector);
    Ok(feed::stream(gateway, principal, follow))
}

fn subject_filter(tenant: &Tenant, id: JobId) -> String {
    subject::aggregate(Job::CATEGORY, tenant, id)
}

/// All public events of a job.
async fn history(gateway: &Gateway, tenant: &Tenant, id: JobId) -> Result<Vec<EventView>, Problem> {
    let (filter, mut from) = (subject_filter(tenant, id), 1);
    let mut all = Vec::new();
    loop {
        let page = gateway.commands.log().page_within(&filter, from, feed::PAGE).await?;
        for message in &page.messages {
            all.extend(translate(&gateway.commands, message).await?);
        }
        match page.messages.last() {
            Some(last) if page.has_more => from = last.sequence.saturating_add(1),
            _ => return Ok(all),
        }
    }
}

struct OneJob {
    id: JobId,
    over: bool,
}

impl EventSelector for OneJob {
    fn subject_filter(&self, tenant: &Tenant) -> String {
        subject_filter(tenant, self.id)
    }

    fn select(&mut self, _: &Message, events: &[EventView]) -> Vec<Event> {
        self.over = events.last().map_or(self.over, |last| last.terminal);
        events.iter().map(EventView::event).collect()
    }

    fn progress(&self, progress: &JobProgress) -> Option<Event> {
        Some(progress_event(progress))
    }

    fn is_over(&self) -> bool {
        self.over
    }
}
