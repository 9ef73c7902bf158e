use ffapi_domain::{
    BatchId, JobId, Tenant, Timestamp,
    batch::{Batch, BatchEvent, BatchView, Counts},
    job::JobStatus,
};
use ffapi_nats::Position;
use ffapi_projections::{BatchList, JobList, batch, job_list, job_list::Filter};
use poem::http::Uri;
use poem_openapi::Object;

use crate::{
    auth::Principal,
    log_view::{self, Address, Entry, InLog, LogView},
    page,
    problem::Problem,
    reply::Reply,
    state::Gateway,
    tenant_slots,
};

/// A batch.
#[derive(Debug, Object)]
#[oai(rename = "Batch", skip_serializing_if_is_none)]
pub(crate) struct BatchShown {
    id: String,
    name: Option<String>,
    /// `processing`, `completed`, `partial_success`, `failed` or `cancelled`
    status: String,
    max_parallel: u32,
    counts: CountsShown,
    /// Percent, 0 to 100, over all its jobs.
    progress: f64,
    cancel_requested: bool,
    created_at: String,
    updated_at: String,
    /// When its last job ended.
    ended_at: Option<String>,
    version: u64,
    /// The ids of its jobs in request order; only in the response that created the batch.
    jobs: Option<Vec<String>>,
    /// Only in the response that created the batch.
    warnings: Option<Vec<String>>,
    links: Links,
}

/// The number of a batch's jobs by status.
#[derive(Debug, Object)]
#[oai(rename = "BatchCounts")]
pub(crate) struct CountsShown {
    total: u32,
    queued: u32,
    processing: u32,
    completed: u32,
    failed: u32,
    cancelled: u32,
}

#[derive(Debug, Object)]
#[oai(rename = "BatchLinks")]
struct Links {
    #[oai(rename = "self")]
    this: String,
    jobs: String,
    events: String,
    cancel: String,
}

/// A page of batches.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
pub(crate) struct BatchPage {
    data: Vec<BatchShown>,
    next_cursor: Option<String>,
    has_more: bool,
}

/// Query parameters of the list of batches.
pub(super) struct BatchQuery {
    pub(super) limit: Option<u32>,
    pub(super) cursor: Option<String>,
    pub(super) min_position: Option<String>,
}

/// A batch as it is in the log, with its jobs as they were submitted.
#[derive(Debug, Clone)]
pub(crate) struct BatchInLog {
    pub(crate) batch: BatchView,
    pub(crate) jobs: Vec<JobId>,
}

impl BatchInLog {
    /// With all jobs queued: their states are not part of the batch.
    pub(super) fn counts(&self) -> Counts {
        Counts::of(self.jobs.iter().map(|_| JobStatus::Queued))
    }
}

impl LogView for BatchInLog {
    type Aggregate = Batch;
    type Id = BatchId;

    fn fold(
        view: Option<Self>,
        Entry { decision, .. }: &Entry<'_, BatchEvent>,
        of: &Address<'_, BatchId>,
    ) -> Option<Self> {
        let at = Timestamp::from_millis(decision.at);
        decision.events.iter().fold(view, |view, event| {
            let (batch, jobs) = view.map_or((None, vec![]), |view| (Some(view.batch), view.jobs));
            let jobs = match event {
                BatchEvent::Submitted { spec } => spec.jobs.iter().map(|job| job.id).collect(),
                _ => jobs,
            };
            let batch = BatchView::apply(batch, event, of.id, of.tenant, at)?;
            Some(Self { batch, jobs })
        })
    }
}

/// Loads a batch from the log.
pub(crate) async fn in_log(
    gateway: &Gateway,
    tenant: &Tenant,
    id: BatchId,
) -> Result<Option<InLog<BatchInLog>>, Problem> {
    Ok(log_view::in_log(&gateway.commands, Address { tenant, id }).await?)
}

impl From<Counts> for CountsShown {
    fn from(counts: Counts) -> Self {
        let Counts { total, queued, processing, completed, failed, cancelled } = counts;
        Self { total, queued, processing, completed, failed, cancelled }
    }
}

/// The representation of a batch. `running` is the progress of its running jobs, 1 for each whole
/// job.
pub(super) fn show(view: &BatchView, counts: Counts, running: f64) -> BatchShown {
    let base = format!("/api/v1/batch/{}", view.id);
    let over = counts.total.saturating_sub(counts.queued).saturating_sub(counts.processing);
    let done = f64::from(over) + running;
    let progress = (done / f64::from(counts.total.max(1)) * 10_000.0).round() / 100.0;
    BatchShown {
        id: view.id.to_string(),
        name: view.name.as_ref().cloned().flatten(),
        status: counts.status(view.cancel_requested).as_str().to_owned(),
        max_parallel: view.max_parallel,
        counts: counts.into(),
        progress: progress.min(100.0),
        cancel_requested: view.cancel_requested,
        created_at: view.created_at.to_string(),
        updated_at: view.updated_at.to_string(),
        // The read model of jobs may be behind that of batches: it has ended once both agree.
        ended_at: view.ended_at.filter(|_| counts.is_over()).map(|at| at.to_string()),
        version: view.version,
        jobs: None,
        warnings: None,
        links: Links {
            this: base.clone(),
            jobs: format!("{base}/jobs"),
            events: format!("{base}/events"),
            cancel: format!("{base}/cancel"),
        },
    }
}

impl BatchShown {
    /// Adds what only the response that creates the batch contains.
    pub(super) fn created(self, jobs: &[JobId], warnings: Vec<String>) -> Self {
        let jobs = jobs.iter().map(ToString::to_string).collect();
        Self { jobs: Some(jobs), warnings: Some(warnings), ..self }
    }
}

/// The progress of a batch's running jobs from their workers, 1 for each whole job.
async fn running(gateway: &Gateway, tenant: &Tenant, id: BatchId) -> Result<f64, Problem> {
    let filter =
        Filter { statuses: vec![JobStatus::Processing], batch: Some(id), ..Filter::default() };
    // At most `max_parallel` of them run, which is up to 20.
    let jobs = job_list::page(&gateway.database, tenant, &filter, 20).await?;
    let progress = jobs.iter().filter_map(|job| gateway.progress.of(job.id, job.attempt)?.progress);
    Ok(progress.sum::<f64>() / 100.0)
}

pub(super) async fn find(
    gateway: &Gateway,
    principal: &Principal,
    id: BatchId,
    min_position: Option<&str>,
) -> Result<Reply<200, BatchShown>, Problem> {
    let tenant = &principal.tenant;
    catch_up(gateway, tenant, min_position).await?;
    let Some(((view, counts), sequence)) = batch::find(&gateway.database, tenant, id).await? else {
        // The read model may be slightly behind the log, which already has a new batch.
        let InLog { view, position } =
            in_log(gateway, tenant, id).await?.ok_or_else(|| Problem::not_found("batch"))?;
        return Ok(Reply::new(show(&view.batch, view.counts(), 0.0)).position(position));
    };
    let running = if counts.processing > 0 { running(gateway, tenant, id).await? } else { 0.0 };
    let epoch = gateway.commands.log().identity().epoch;
    let position = Position { epoch, sequence, index: 0 };
    Ok(Reply::new(show(&view, counts, running)).position(position))
}

/// Waits until the read models of batches and of jobs both contain what the tenant may know of.
pub(super) async fn catch_up(
    gateway: &Gateway,
    tenant: &Tenant,
    min_position: Option<&str>,
) -> Result<(), Problem> {
    gateway.reads.catch_up::<BatchList>(tenant, min_position).await?;
    Ok(gateway.reads.catch_up::<JobList>(tenant, min_position).await?)
}

pub(super) async fn list(
    gateway: &Gateway,
    principal: &Principal,
    uri: &Uri,
    query: BatchQuery,
) -> Result<Reply<200, BatchPage>, Problem> {
    let limit = page::limit(query.limit, "batches")?;
    let after: Option<BatchId> = page::after(query.cursor.as_deref())?;
    catch_up(gateway, &principal.tenant, query.min_position.as_deref()).await?;
    let _slot = tenant_slots::of_list(&principal.tenant).await?;
    let more = limit.saturating_add(1);
    let mut rows = batch::page(&gateway.database, &principal.tenant, after, more).await?;
    let next_cursor = page::cut(&mut rows, limit, |(view, _)| view.id);
    let link = next_cursor.as_ref().map(|cursor| page::next(uri, cursor));
    let has_more = next_cursor.is_some();
    let data = rows.iter().map(|(view, counts)| show(view, *counts, 0.0)).collect();
    Ok(Reply::new(BatchPage { data, next_cursor, has_more }).next(link))
}

/// The representation of a batch after a command at this position.
pub(super) async fn after(
    gateway: &Gateway,
    principal: &Principal,
    id: BatchId,
    position: Position,
) -> Result<Reply<202, BatchShown>, Problem> {
    let position_text = position.to_string();
    catch_up(gateway, &principal.tenant, Some(&position_text)).await?;
    let found = batch::find(&gateway.database, &principal.tenant, id).await?;
    let ((view, counts), _) = found.ok_or_else(|| Problem::not_found("batch"))?;
    Ok(Reply::new(show(&view, counts, 0.0)).position(position))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_has_not_ended_while_one_of_its_jobs_still_runs() {
        let counts =
            |completed, processing| Counts { total: 8, completed, processing, ..Counts::default() };
        let at = Timestamp::from_millis(1_700_000_000_000);
        let view = BatchView {
            id: BatchId::from_uuid(uuid::Uuid::from_u128(8)),
            tenant: "acme".parse().unwrap(),
            name: ffapi_domain::Personal::Clear(None),
            max_parallel: 5,
            total: 8,
            created_at: at,
            updated_at: at,
            ended_at: Some(at),
            cancel_requested: false,
            version: 2,
        };
        let behind = show(&view, counts(7, 1), 0.0);
        assert_eq!((behind.status.as_str(), behind.ended_at), ("processing", None));
        let ended = show(&view, counts(8, 0), 0.0);
        assert_eq!((ended.status.as_str(), ended.ended_at), ("completed", Some(at.to_string())));
    }
}
