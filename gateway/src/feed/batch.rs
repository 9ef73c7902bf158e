use std::{collections::HashMap, sync::Arc};

use ffapi_domain::{BatchId, JobId, batch::Counts, job::JobStatus};
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
use serde_json::{Value, json};

use super::{
    EventView,
    follow::{Follow, Wanted},
    seen, stream,
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
        viewer: ReadAuth,
        id: Path<String>,
        #[oai(name = "Last-Event-ID")] last: Header<Option<String>>,
    ) -> Result<Raw> {
        let principal = viewer.sees()?;
        let tenant = &principal.tenant;
        let id: BatchId = id.0.parse().map_err(|_| Problem::not_found("batch"))?;
        let last = seen(last.0.as_deref(), "#Last-Event-ID")?;
        // Listening first: what is appended between the two is seen twice, and sent once.
        let listener = gateway.hub.listen(Topic::Tenant(tenant.clone()));
        let batch = in_log(&gateway, tenant, id).await?;
        let batch = batch.ok_or_else(|| Problem::not_found("batch"))?;
        // Whoever comes after the end is told the end. A read side that stays behind is no refusal: the
        // statuses say as of when they are, and the stream tells the rest.
        let told = batch.position.to_string();
        let epoch = batch.position.epoch;
        let _ = gateway.positions.reach::<JobList>(&gateway.database, epoch, Some(&told)).await;
        let (known, sequence) =
            batch::statuses(&gateway.database, id).await.map_err(Problem::from)?;
        let mut jobs: HashMap<JobId, JobStatus> =
            batch.jobs.iter().map(|job| (*job, JobStatus::Queued)).collect();
        jobs.extend(known);
        let stands = Position { epoch, sequence, index: u32::MAX };
        let told_before = batch.view.ended_at.is_some() && batch.position <= stands;
        let mut wanted = Members { id, jobs, stands, over: false };
        let resume = match last {
            Some(last) if !is_too_old(&gateway, tenant, last, now(&gateway).await?).await? => {
                Some(last)
            }
            _ => None,
        };
        // Where a reader goes on from there it misses nothing.
        let first = wanted.progress_event(resume.unwrap_or(stands));
        let first = if last.is_some() && resume.is_none() {
            let body = json!({ "type": "reset", "data": wanted.counts() });
            Event::message(body.to_string()).id(stands.to_string()).event_type("reset")
        } else {
            first
        };
        wanted.over = told_before && resume.is_none_or(|last| last >= batch.position);
        let after = resume.unwrap_or(stands);
        let follow = Follow::new(&gateway, tenant, listener, Some(first), after, wanted);
        Ok(stream(&gateway, principal, follow))
    }
}

/// A batch and its jobs.
struct Members {
    id: BatchId,
    jobs: HashMap<JobId, JobStatus>,
    /// What the statuses are as of.
    stands: Position,
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

impl Wanted for Members {
    fn of(&mut self, message: &Message, shown: &[EventView]) -> Vec<Event> {
        let Some((_, _, id)) = message.address() else { return vec![] };
        if id == self.id.to_string() {
            let end = shown.last().is_some_and(|last| last.terminal);
            self.over = end && shown.last().is_some_and(|last| last.position > self.stands);
            // An end that was followed by a retry is not the end.
            self.over |= end && self.counts().is_over();
            return shown.iter().map(EventView::event).collect();
        }
        let Some(status) = id.parse().ok().and_then(|job: JobId| self.jobs.get_mut(&job)) else {
            return vec![];
        };
        let mut events: Vec<Event> = shown.iter().map(EventView::event).collect();
        let mut words =
            shown.iter().filter_map(|shown| shown.body.pointer("/data/status").cloned());
        let newest = words.next_back().and_then(|word| serde_json::from_value(word).ok());
        if let (Some(newest), Some(last)) = (newest, shown.last())
            && last.position > self.stands
            && *status != newest
        {
            *status = newest;
            events.push(self.progress_event(last.position));
        }
        events
    }

    fn progress(&self, job: JobId, data: &Value) -> Option<Event> {
        let wanted = self.jobs.contains_key(&job);
        wanted.then(|| Event::message(data.to_string()).event_type("job.progress"))
    }

    fn is_over(&self) -> bool {
        self.over
    }
}
