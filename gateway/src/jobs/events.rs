use std::sync::Arc;

use ffapi_domain::{Decider, JobId, Tenant, job::Job};
use ffapi_nats::Message;
use poem::web::sse::Event;
use serde_json::Value;

use crate::{
    auth::Principal,
    event_bus::Topic,
    feed::{self, EventView, Follow, Wanted, translate},
    problem::Problem,
    reply::Raw,
    state::Gateway,
};

/// The history as JSON, or the history and what follows as server-sent events.
pub(crate) async fn events(
    gateway: &Arc<Gateway>,
    principal: &Principal,
    id: JobId,
    last: Option<String>,
    accept: Option<String>,
) -> Result<Raw, Problem> {
    let tenant = &principal.tenant;
    let seen = feed::seen(last.as_deref(), "#Last-Event-ID")?;
    // Listening first: what is appended between the two is seen twice, and shown once.
    let listener = gateway.hub.listen(Topic::Job(id));
    let history = shown(gateway, tenant, id).await?;
    let Some(newest) = history.last() else { return Err(Problem::not_found("job")) };
    if feed::wants_json(accept.as_deref()) {
        return Ok(feed::page(&history, false));
    }
    let unseen = history.iter().filter(|shown| seen.is_none_or(|seen| shown.position > seen));
    // From where the log ended, even if a reader says that it has seen more: it must be told the end.
    let first = unseen.map(EventView::event).collect();
    let wanted = OneJob { id, over: newest.terminal };
    let follow = Follow::caught_up(gateway, tenant, listener, first, newest.position, wanted);
    Ok(feed::stream(gateway, principal, follow))
}

fn filter(tenant: &Tenant, id: JobId) -> String {
    format!("ev.{}.{tenant}.{id}", Job::CATEGORY)
}

/// Everything that happened to a job, as shown.
async fn shown(gateway: &Gateway, tenant: &Tenant, id: JobId) -> Result<Vec<EventView>, Problem> {
    let mut all = Vec::new();
    for message in gateway.commands.log().load(&filter(tenant, id), 1).await? {
        all.extend(translate(gateway, &message).await?);
    }
    Ok(all)
}

struct OneJob {
    id: JobId,
    over: bool,
}

impl Wanted for OneJob {
    fn filter(&self, tenant: &Tenant) -> String {
        filter(tenant, self.id)
    }

    fn of(&mut self, _: &Message, shown: &[EventView]) -> Vec<Event> {
        self.over = shown.last().map_or(self.over, |last| last.terminal);
        shown.iter().map(EventView::event).collect()
    }

    fn progress(&self, _: JobId, data: &Value) -> Option<Event> {
        Some(Event::message(data.to_string()).event_type("job.progress"))
    }

    fn is_over(&self) -> bool {
        self.over
    }
}
