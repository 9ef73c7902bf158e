//! The jobs resource: the routes. The operations are in the submodules.

mod act;
mod at;
pub(crate) mod check_media;
pub(crate) mod create;
mod diff;
mod estimate;
mod events;
mod find;
mod id;
mod in_log;
pub(crate) mod input_jobs;
pub(crate) mod list;
mod logs;
pub(crate) mod outputs;
mod present;
pub(crate) mod rerun;
pub(crate) mod retry;
pub(crate) mod show;
pub(crate) mod spec_size;
pub(crate) mod submit;
mod urls;
mod usage;
pub(crate) mod validate;
mod wait;
mod why;

use std::sync::Arc;

use ffapi_domain::{job::JobCommand, key::Scope};
use poem::{Request, Result, web::Data};
use poem_openapi::{
    OpenApi,
    param::{Header, Path, Query},
};

use self::{
    act::Act,
    create::{AnalyzeBody, ConvertBody, ProbeBody, StreamBody, ThumbnailsBody},
    diff::Diff,
    estimate::Estimated,
    id::job_id,
    list::JobPage,
    logs::LogPage,
    rerun::RerunBody,
    show::JobBody,
    submit::Submitted,
    validate::{KindBody, Validated},
    why::Why,
};
use crate::{
    auth::{Auth, ReadAuth},
    body::{StrictJson, Unread},
    idempotency::Key,
    reply::{Raw, Reply},
    state::Gateway,
};

pub(crate) struct Jobs;

#[OpenApi(prefix_path = "/api/v1")]
impl Jobs {
    /// Convert a file
    ///
    /// Creates a job. With `Idempotency-Key` the request can be repeated safely; `Prefer: wait=N`
    /// waits up to N seconds for the job to end.
    #[oai(path = "/convert", method = "post", operation_id = "createConvert")]
    async fn convert(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        #[oai(name = "Idempotency-Key")] key: Header<Option<String>>,
        #[oai(name = "Prefer")] prefer: Header<Option<String>>,
        body: Unread<ConvertBody>,
    ) -> Result<Reply<201, Submitted>> {
        let principal = auth.require(Scope::JobsWrite)?;
        let submission = submit::Submission { request, principal, body, key: key.0 };
        Ok(submit::submit(&gateway, submission, prefer.0.as_deref()).await?)
    }

    /// Package a file for streaming
    ///
    /// Creates a job whose outputs are segments and manifests in a folder, manifests last.
    #[oai(path = "/stream", method = "post", operation_id = "createStream")]
    async fn stream(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        #[oai(name = "Idempotency-Key")] key: Header<Option<String>>,
        #[oai(name = "Prefer")] prefer: Header<Option<String>>,
        body: Unread<StreamBody>,
    ) -> Result<Reply<201, Submitted>> {
        let principal = auth.require(Scope::JobsWrite)?;
        let submission = submit::Submission { request, principal, body, key: key.0 };
        Ok(submit::submit(&gateway, submission, prefer.0.as_deref()).await?)
    }

    /// Create thumbnails
    ///
    /// Creates a job whose outputs are files in a folder.
    #[oai(path = "/thumbnails", method = "post", operation_id = "createThumbnails")]
    async fn thumbnails(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        #[oai(name = "Idempotency-Key")] key: Header<Option<String>>,
        #[oai(name = "Prefer")] prefer: Header<Option<String>>,
        body: Unread<ThumbnailsBody>,
    ) -> Result<Reply<201, Submitted>> {
        let principal = auth.require(Scope::JobsWrite)?;
        let submission = submit::Submission { request, principal, body, key: key.0 };
        Ok(submit::submit(&gateway, submission, prefer.0.as_deref()).await?)
    }

    /// Analyze a file
    ///
    /// Creates a job whose `result` holds the measurements.
    #[oai(path = "/analyze", method = "post", operation_id = "createAnalyze")]
    async fn analyze(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        #[oai(name = "Idempotency-Key")] key: Header<Option<String>>,
        #[oai(name = "Prefer")] prefer: Header<Option<String>>,
        body: Unread<AnalyzeBody>,
    ) -> Result<Reply<201, Submitted>> {
        let principal = auth.require(Scope::JobsWrite)?;
        let submission = submit::Submission { request, principal, body, key: key.0 };
        Ok(submit::submit(&gateway, submission, prefer.0.as_deref()).await?)
    }

    /// Probe a file
    ///
    /// Creates a job whose `result` describes the file: container, tracks, duration.
    #[oai(path = "/probe", method = "post", operation_id = "createProbe")]
    async fn probe(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        #[oai(name = "Idempotency-Key")] key: Header<Option<String>>,
        #[oai(name = "Prefer")] prefer: Header<Option<String>>,
        body: Unread<ProbeBody>,
    ) -> Result<Reply<201, Submitted>> {
        let principal = auth.require(Scope::JobsWrite)?;
        let submission = submit::Submission { request, principal, body, key: key.0 };
        Ok(submit::submit(&gateway, submission, prefer.0.as_deref()).await?)
    }

    /// Validate a job without creating it
    ///
    /// A worker probes the inputs; the response is the plan that the job would follow, or the
    /// reason why it would be refused.
    #[oai(path = "/validate", method = "post", operation_id = "validate")]
    async fn validate(
        &self,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        body: StrictJson<KindBody>,
    ) -> Result<Reply<200, Validated>> {
        let principal = auth.require(Scope::JobsWrite)?;
        Ok(validate::validate(&gateway, principal, body.value).await?)
    }

    /// Estimate a job without creating it
    ///
    /// As `/validate`, with the time that the job will take, the size of its outputs and the media
    /// minutes charged, learned from past jobs of its class.
    #[oai(path = "/estimate", method = "post", operation_id = "estimate")]
    async fn estimate(
        &self,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        body: StrictJson<KindBody>,
    ) -> Result<Reply<200, Estimated>> {
        let principal = auth.require(Scope::JobsWrite)?;
        Ok(estimate::estimate(&gateway, principal, body.value).await?)
    }

    /// List jobs
    ///
    /// Newest first, or oldest first with `sort=created_at:asc`. A label is filtered by
    /// `metadata.<name>=<value>`.
    #[oai(path = "/jobs", method = "get", operation_id = "listJobs")]
    #[expect(clippy::too_many_arguments, reason = "each is a query parameter")]
    async fn list(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        /// One or more of `queued`, `processing`, `completed`, `failed` and `cancelled`, separated by
        /// commas.
        status: Query<Option<String>>,
        /// One or more of `convert`, `stream`, `thumbnails`, `analyze` and `probe`, separated by commas.
        kind: Query<Option<String>>,
        batch_id: Query<Option<String>>,
        /// A preset that they used, in any version if none is given.
        preset: Query<Option<String>>,
        created_after: Query<Option<String>>,
        created_before: Query<Option<String>>,
        sort: Query<Option<String>>,
        limit: Query<Option<u32>>,
        cursor: Query<Option<String>>,
        min_position: Query<Option<String>>,
    ) -> Result<Reply<200, JobPage>> {
        let principal = auth.require(Scope::JobsRead)?;
        let query = list::JobListQuery {
            uri: request.original_uri(),
            status: status.0,
            kind: kind.0,
            batch_id: batch_id.0,
            preset: preset.0,
            created_after: created_after.0,
            created_before: created_before.0,
            sort: sort.0,
            limit: limit.0,
            cursor: cursor.0,
            min_position: min_position.0,
        };
        Ok(list::list(&gateway, principal, query).await?)
    }

    /// Show a job
    ///
    /// With `at`, as it was at a version like `v3`, or at a time.
    #[oai(path = "/jobs/:id", method = "get", operation_id = "getJob")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter")]
    async fn find(
        &self,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        id: Path<String>,
        #[oai(name = "If-None-Match")] if_none_match: Header<Option<String>>,
        #[oai(name = "Prefer")] prefer: Header<Option<String>>,
        min_position: Query<Option<String>>,
        /// The job as it was at a version (`v3`), a time, or the position of an event.
        at: Query<Option<String>>,
    ) -> Result<Reply<200, JobBody>> {
        let principal = auth.require(Scope::JobsRead)?;
        if let Some(point) = &at.0 {
            return Ok(at::at(&gateway, principal, job_id(&id.0)?, point).await?);
        }
        let query = find::JobQuery { min_position: min_position.0, prefer: prefer.0 };
        let found = find::find(&gateway, principal, job_id(&id.0)?, query).await?;
        Ok(found.unless(if_none_match.0.as_deref()))
    }

    /// Change a job's priority
    #[oai(path = "/jobs/:id", method = "patch", operation_id = "updateJob")]
    async fn reprioritise(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        id: Path<String>,
        #[oai(name = "If-Match")] if_match: Header<Option<String>>,
        body: StrictJson<act::PriorityBody>,
    ) -> Result<Reply<200, JobBody>> {
        let command = JobCommand::Reprioritise { priority: body.value.priority.into() };
        Ok(Act::new(request, &auth, &id.0, if_match.0)?.execute(&gateway, command).await?)
    }

    /// Cancel a job
    #[oai(path = "/jobs/:id", method = "delete", operation_id = "deleteJob")]
    async fn delete(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        id: Path<String>,
        #[oai(name = "If-Match")] if_match: Header<Option<String>>,
    ) -> Result<Reply<202, JobBody>> {
        Ok(Act::new(request, &auth, &id.0, if_match.0)?.cancel(&gateway).await?)
    }

    /// Cancel a job
    ///
    /// A waiting job is cancelled at once, a running one within a second. It leaves no outputs, except files that
    /// were put at URLs before. A job whose outputs are being published in a store can no longer be cancelled.
    #[oai(path = "/jobs/:id/cancel", method = "post", operation_id = "cancelJob")]
    async fn cancel(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        id: Path<String>,
        #[oai(name = "If-Match")] if_match: Header<Option<String>>,
    ) -> Result<Reply<202, JobBody>> {
        Ok(Act::new(request, &auth, &id.0, if_match.0)?.cancel(&gateway).await?)
    }

    /// Retry a failed or cancelled job
    #[oai(path = "/jobs/:id/retry", method = "post", operation_id = "retryJob")]
    async fn retry(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        id: Path<String>,
        #[oai(name = "If-Match")] if_match: Header<Option<String>>,
    ) -> Result<Reply<202, JobBody>> {
        Ok(Act::new(request, &auth, &id.0, if_match.0)?.retry(&gateway).await?)
    }

    /// Run a job again
    ///
    /// Creates a job with the same request; `overrides` replaces parts of it.
    #[oai(path = "/jobs/:id/rerun", method = "post", operation_id = "rerunJob")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter")]
    async fn rerun(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        id: Path<String>,
        #[oai(name = "Idempotency-Key")] key: Header<Option<String>>,
        #[oai(name = "Prefer")] prefer: Header<Option<String>>,
        body: StrictJson<RerunBody>,
    ) -> Result<Reply<201, Submitted>> {
        let principal = auth.require(Scope::JobsWrite)?;
        let id = job_id(&id.0)?;
        let fields = body.value.fields()?;
        let key = Key::of("/rerun", key.0, format!("{id} {}", body.fingerprint))?;
        let (context, prefer) =
            (submit::SubmitContext { request, principal, key }, prefer.0.as_deref());
        if let Some(response) = submit::replay(&gateway, &context, prefer).await? {
            return Ok(response);
        }
        let spec = rerun::rerun_spec(&gateway, &principal.tenant, id, fields).await?;
        Ok(submit::submit_spec(&gateway, context, spec, prefer).await?)
    }

    /// Compare two jobs
    ///
    /// With the job in `with`, or, if absent, the job that this one reruns.
    #[oai(path = "/jobs/:id/diff", method = "get", operation_id = "diffJobs")]
    async fn diff(
        &self,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        id: Path<String>,
        with: Query<Option<String>>,
    ) -> Result<Reply<200, Diff>> {
        let principal = auth.require(Scope::JobsRead)?;
        Ok(diff::diff(&gateway, principal, job_id(&id.0)?, with.0.as_deref()).await?)
    }

    /// Explain a job's state
    ///
    /// One sentence for each event that led to the job's state, with its position in the log.
    #[oai(path = "/jobs/:id/why", method = "get", operation_id = "explainJob")]
    async fn why(
        &self,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        id: Path<String>,
    ) -> Result<Reply<200, Why>> {
        let principal = auth.require(Scope::JobsRead)?;
        Ok(why::explain(&gateway, principal, job_id(&id.0)?).await?)
    }

    /// Stream a job's events
    ///
    /// Server-sent events from the beginning, or after `Last-Event-ID`; the stream ends with the
    /// job. With `Accept: application/json`, the events so far.
    #[oai(path = "/jobs/:id/events", method = "get", operation_id = "getJobEvents")]
    async fn events(
        &self,
        gateway: Data<&Arc<Gateway>>,
        auth: ReadAuth,
        id: Path<String>,
        #[oai(name = "Last-Event-ID")] last: Header<Option<String>>,
        #[oai(name = "Accept")] accept: Header<Option<String>>,
    ) -> Result<Raw> {
        let principal = auth.require_read()?;
        let id = job_id(&id.0)?;
        Ok(events::events(&gateway, principal, id, last.0, accept.0).await?)
    }

    /// List a job's log lines
    #[oai(path = "/jobs/:id/logs", method = "get", operation_id = "getJobLogs")]
    async fn logs(
        &self,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        id: Path<String>,
        limit: Query<Option<u32>>,
        cursor: Query<Option<String>>,
    ) -> Result<Reply<200, LogPage>> {
        let principal = auth.require(Scope::JobsRead)?;
        Ok(logs::logs(&gateway, principal, job_id(&id.0)?, limit.0, cursor.0).await?)
    }
}
