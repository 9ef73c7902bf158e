use std::{collections::HashMap, sync::Arc};

use ffapi_domain::{BatchId, JobId, batch::Counts, job::JobStatus, live::JobProgress};
use ffapi_nats::{Message, Position};
use ffapi_projections::{JobList, batch};
use poem::{
    Result,
    web::{Data, sse::Event},
};
use poem_openapi::{
    OpenApi,
    param::{Header, Path},
};
use serde_json::json;

use super::{
    EventView, ended,
    event_view::progress_event,
    follow::{EventSelector, Follow},
    last_event_id, stream,
    tenant::{is_too_old, now},
};
use crate::{
    auth::ReadAuth, batches::in_log, event_bus::Topic, problem::Problem, reply::Raw, state::Gateway,
};

pub(crate) struct BatchEvents;

#[OpenApi(prefix_path = "/api/v1")]
impl BatchEvents {
    /// Stream a batch's events
    ///
    /// Server-sent events of the batch and its jobs after `Last-Event-ID`, or from now on; the
    /// stream ends with the batch. The first event, and one after each change, is `batch.progress`
    /// with the number of jobs in each state.
    #[oai(path = "/batch/:id/events", method = "get", operation_id = "getBatchEvents")]
    async fn events(
        &self,
        gateway: Data<&Arc<Gateway>>,
        auth: ReadAuth,
        id: Path<String>,
        #[oai(name = "Last-Event-ID")] last: Header<Option<String>>,
    ) -> Result<Raw> {
        let principal = auth.require_read()?;
        let tenant = &principal.tenant;
        let id: BatchId = id.0.parse().map_err(|_| Problem::not_found("batch"))?;
        let last = last_event_id(last.0.as_deref())?;
        // Subscribes first: what is appended in between is received twice, and sent once.
        let receiver = gateway.event_bus.subscribe(Topic::Tenant(tenant.clone()));
        let batch = in_log(&gateway, tenant, id).await?;
        let batch = batch.ok_or_else(|| Problem::not_found("batch"))?;
        // Waits so that a client that connects after the end gets the end. If the read model stays
        // behind, that is not an error: the statuses have a position, and the stream continues from
        // there.
        let newest = batch.position.to_string();
        let epoch = batch.position.epoch;
        let _ = gateway.reads.reach::<JobList>(Some(&newest)).await;
        let (known, sequence) =
            batch::statuses(&gateway.database, id).await.map_err(Problem::from)?;
        let mut jobs: HashMap<JobId, JobStatus> =
            batch.view.jobs.iter().map(|job| (*job, JobStatus::Queued)).collect();
        jobs.extend(known);
        let as_of = Position { epoch, sequence, index: u32::MAX };
        let has_ended = batch.view.batch.ended_at.is_some() && batch.position <= as_of;
        let mut members = Members { id, jobs, as_of, over: false };
        let resume = match last {
            Some(last) if !is_too_old(&gateway, tenant, last, now(&gateway).await?).await? => {
                Some(last)
            }
            _ => None,
        };
        if has_ended && resume.is_some_and(|last| last >= batch.position) {
            return Ok(ended());
        }
        // Its id is the position from which a client can resume without missing anything.
        let first = members.progress_event(resume.unwrap_or(as_of));
        let first = if last.is_some() && resume.is_none() {
            let body = json!({ "type": "reset", "data": members.counts() });
            Event::message(body.to_string()).id(as_of.to_string()).event_type("reset")
        } else {
            first
        };
        members.over = has_ended && resume.is_none();
        let after = resume.unwrap_or(as_of);
        let follow = Follow::new(&gateway, tenant, receiver, Some(first), after, members);
        Ok(stream(&gateway, principal, follow))
    }
}

/// Selects the events of a batch and its jobs.
struct Members {
    id: BatchId,
    jobs: HashMap<JobId, JobStatus>,
    /// The position up to which the statuses are known.
    as_of: Position,
    over: bool,
}

impl Members {
    fn counts(&self) -> Counts {
        Counts::of(self.jobs.values().copied())
    }

    fn progress_event(&self, at: Position) -> Event {
        let counts = self.counts();
        let over = counts.total.saturating_sub(counts.queued).saturating_sub(counts.processing);
        let progress = f64::from(over) / f64::from(counts.total.max(1)) * 100.0;
        let body = json!({
            "type": "batch.progress", "batch_id": self.id,
            "data": { "counts": counts, "progress": (progress * 100.0).round() / 100.0 },
        });
        Event::message(body.to_string()).id(at.to_string()).event_type("batch.progress")
    }
}

impl EventSelector for Members {
    fn select(&mut self, message: &Message, views: &[EventView]) -> Vec<Event> {
        let Some((_, _, id)) = message.address() else { return vec![] };
        if id == self.id.to_string() {
            let end = views.last().is_some_and(|last| last.terminal);
            self.over = end && views.last().is_some_and(|last| last.position > self.as_of);
            // An end that was followed by a retry is not final.
            self.over |= end && self.counts().is_over();
            return views.iter().map(EventView::event).collect();
        }
        let Some(status) = id.parse().ok().and_then(|job: JobId| self.jobs.get_mut(&job)) else {
            return vec![];
        };
        let mut events: Vec<Event> = views.iter().map(EventView::event).collect();
        let mut statuses =
            views.iter().filter_map(|view| view.body.pointer("/data/status").cloned());
        let newest = statuses.next_back().and_then(|status| serde_json::from_value(status).ok());
        if let (Some(newest), Some(last)) = (newest, views.last())
            && last.position > self.as_of
            && *status != newest
        {
            *status = newest;
            events.push(self.progress_event(last.position));
        }
        events
    }

    fn progress(&self, progress: &JobProgress) -> Option<Event> {
        let is_member = self.jobs.contains_key(&progress.job_id);
        is_member.then(|| progress_event(progress))
    }

    fn is_over(&self) -> bool {
        self.over
    }
}
