//! The jobs resource: its paths; what each does stands in its own file.

mod act;
mod at;
pub(crate) mod create;
mod diff;
mod estimate;
mod events;
mod find;
pub(crate) mod list;
mod logs;
mod outputs;
pub(crate) mod rerun;
pub(crate) mod reserve;
pub(crate) mod show;
pub(crate) mod submit;
pub(crate) mod validate;
mod wait;
mod why;

use std::sync::Arc;

use domain::{JobId, job::JobCommand, key::Scope};
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
    list::JobPage,
    logs::LogPage,
    outputs::OutputList,
    rerun::RerunBody,
    show::JobBody,
    submit::Submitted,
    validate::{KindBody, Validated},
    why::Why,
};
use crate::{
    auth::{Auth, Viewer},
    body::{StrictJson, Unread},
    idempotency::Key,
    problem::Problem,
    reply::{Raw, Reply},
    state::Gateway,
};

pub(crate) struct Jobs;

fn job_id(text: &str) -> Result<JobId, Problem> {
    text.parse().map_err(|_| Problem::not_found("job"))
}

#[OpenApi(prefix_path = "/api/v1")]
impl Jobs {
    /// Convert a file
    ///
    /// Creates a job. `Idempotency-Key` makes it safe to send again; `Prefer: wait=N` waits up to
    /// N seconds for the job's end.
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
        let principal = auth.may(Scope::JobsWrite)?;
        let submission = submit::Submission { request, principal, body, key: key.0 };
        Ok(submit::submit(&gateway, submission, prefer.0.as_deref()).await?)
    }

    /// Make a film ready for streaming
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
        let principal = auth.may(Scope::JobsWrite)?;
        let submission = submit::Submission { request, principal, body, key: key.0 };
        Ok(submit::submit(&gateway, submission, prefer.0.as_deref()).await?)
    }

    /// Take pictures of a film
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
        let principal = auth.may(Scope::JobsWrite)?;
        let submission = submit::Submission { request, principal, body, key: key.0 };
        Ok(submit::submit(&gateway, submission, prefer.0.as_deref()).await?)
    }

    /// Measure a file
    ///
    /// Creates a job whose `result` holds the figures.
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
        let principal = auth.may(Scope::JobsWrite)?;
        let submission = submit::Submission { request, principal, body, key: key.0 };
        Ok(submit::submit(&gateway, submission, prefer.0.as_deref()).await?)
    }

    /// Look into a file
    ///
    /// Creates a job whose `result` tells what the file is.
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
        let principal = auth.may(Scope::JobsWrite)?;
        let submission = submit::Submission { request, principal, body, key: key.0 };
        Ok(submit::submit(&gateway, submission, prefer.0.as_deref()).await?)
    }

    /// Resolve a job without making one
    ///
    /// A worker looks into the real inputs and answers the plan that the job would follow, or the
    /// refusal that it would meet.
    #[oai(path = "/validate", method = "post", operation_id = "validate")]
    async fn validate(
        &self,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        body: StrictJson<KindBody>,
    ) -> Result<Reply<200, Validated>> {
        let principal = auth.may(Scope::JobsWrite)?;
        Ok(validate::validate(&gateway, principal, body.value).await?)
    }

    /// Estimate a job without making one
    ///
    /// As `/validate`, with the time it will take, the size of what it makes and what is charged,
    /// learned from past jobs of its kind.
    #[oai(path = "/estimate", method = "post", operation_id = "estimate")]
    async fn estimate(
        &self,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        body: StrictJson<KindBody>,
    ) -> Result<Reply<200, Estimated>> {
        let principal = auth.may(Scope::JobsWrite)?;
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
        status: Query<Option<String>>,
        kind: Query<Option<String>>,
        batch_id: Query<Option<String>>,
        preset: Query<Option<String>>,
        created_after: Query<Option<String>>,
        created_before: Query<Option<String>>,
        sort: Query<Option<String>>,
        limit: Query<Option<u32>>,
        cursor: Query<Option<String>>,
        min_position: Query<Option<String>>,
    ) -> Result<Reply<200, JobPage>> {
        let principal = auth.may(Scope::JobsRead)?;
        let asked = list::Asked {
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
        Ok(list::list(&gateway, principal, asked).await?)
    }

    /// Show a job
    ///
    /// With `at`, as it stood then: at a version like `v3`, or a time.
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
        at: Query<Option<String>>,
    ) -> Result<Reply<200, JobBody>> {
        let principal = auth.may(Scope::JobsRead)?;
        if let Some(then) = &at.0 {
            return Ok(at::at(&gateway, principal, job_id(&id.0)?, then).await?);
        }
        let asked = find::Asked { min_position: min_position.0, prefer: prefer.0 };
        let found = find::find(&gateway, principal, job_id(&id.0)?, asked).await?;
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
        Ok(Act::new(request, &auth, &id.0, if_match.0)?.give(&gateway, command).await?)
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
    /// A waiting job is cancelled at once, a running one within a second; it leaves no output.
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

    /// Try a failed or cancelled job again
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

    /// Do a job again
    ///
    /// A new job with the recorded recipe, or with what `overrides` says instead.
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
        let principal = auth.may(Scope::JobsWrite)?;
        let id = job_id(&id.0)?;
        let fields = body.value.fields()?;
        let key = Key::of("/rerun", key.0, format!("{id} {}", body.fingerprint))?;
        let (asked, prefer) = (submit::Asked { request, principal, key }, prefer.0.as_deref());
        if let Some(answer) = submit::before(&gateway, &asked, prefer).await? {
            return Ok(answer);
        }
        let spec = rerun::again(&gateway, &principal.tenant, id, fields).await?;
        Ok(submit::submit_spec(&gateway, asked, spec, prefer).await?)
    }

    /// Compare what a job and another came to
    ///
    /// With the job that it does again, if no other is named.
    #[oai(path = "/jobs/:id/diff", method = "get", operation_id = "diffJobs")]
    async fn diff(
        &self,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        id: Path<String>,
        with: Query<Option<String>>,
    ) -> Result<Reply<200, Diff>> {
        let principal = auth.may(Scope::JobsRead)?;
        Ok(diff::diff(&gateway, principal, job_id(&id.0)?, with.0.as_deref()).await?)
    }

    /// Why does a job stand as it does?
    ///
    /// One sentence for each thing that led to another, with where it stands in the log.
    #[oai(path = "/jobs/:id/why", method = "get", operation_id = "explainJob")]
    async fn why(
        &self,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        id: Path<String>,
    ) -> Result<Reply<200, Why>> {
        let principal = auth.may(Scope::JobsRead)?;
        Ok(why::explain(&gateway, principal, job_id(&id.0)?).await?)
    }

    /// Follow a job
    ///
    /// Server-sent events from the beginning, or after `Last-Event-ID`, ending with the job. With
    /// `Accept: application/json` the history so far.
    #[oai(path = "/jobs/:id/events", method = "get", operation_id = "getJobEvents")]
    async fn events(
        &self,
        gateway: Data<&Arc<Gateway>>,
        viewer: Viewer,
        id: Path<String>,
        #[oai(name = "Last-Event-ID")] last: Header<Option<String>>,
        #[oai(name = "Accept")] accept: Header<Option<String>>,
    ) -> Result<Raw> {
        let principal = viewer.sees()?;
        let id = job_id(&id.0)?;
        Ok(events::events(&gateway, principal, id, last.0, accept.0).await?)
    }

    /// Read what a job's media processes had to say
    #[oai(path = "/jobs/:id/logs", method = "get", operation_id = "getJobLogs")]
    async fn logs(
        &self,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        id: Path<String>,
        limit: Query<Option<u32>>,
        cursor: Query<Option<String>>,
    ) -> Result<Reply<200, LogPage>> {
        let principal = auth.may(Scope::JobsRead)?;
        Ok(logs::logs(&gateway, principal, job_id(&id.0)?, limit.0, cursor.0).await?)
    }

    /// List a job's outputs
    #[oai(path = "/jobs/:id/outputs", method = "get", operation_id = "listJobOutputs")]
    async fn outputs(
        &self,
        gateway: Data<&Arc<Gateway>>,
        viewer: Viewer,
        id: Path<String>,
    ) -> Result<Reply<200, OutputList>> {
        let principal = viewer.sees()?;
        Ok(outputs::list(&gateway, &principal.tenant, job_id(&id.0)?).await?)
    }

    /// Read an output, or a part of it by `Range`
    #[oai(path = "/jobs/:id/outputs/:name", method = "get", operation_id = "getJobOutput")]
    async fn output(
        &self,
        gateway: Data<&Arc<Gateway>>,
        viewer: Viewer,
        id: Path<String>,
        name: Path<String>,
        #[oai(name = "Range")] range: Header<Option<String>>,
    ) -> Result<Raw> {
        let principal = viewer.sees()?;
        let id = job_id(&id.0)?;
        Ok(outputs::read(&gateway, principal, id, &name.0, range.0.as_deref()).await?)
    }

    /// Read an output that stands in a folder of its job's, as a manifest names it
    #[oai(
        path = "/jobs/:id/outputs/:folder/:name",
        method = "get",
        operation_id = "getJobOutputInFolder"
    )]
    async fn output_in_folder(
        &self,
        gateway: Data<&Arc<Gateway>>,
        viewer: Viewer,
        id: Path<String>,
        folder: Path<String>,
        name: Path<String>,
        #[oai(name = "Range")] range: Header<Option<String>>,
    ) -> Result<Raw> {
        let principal = viewer.sees()?;
        let id = job_id(&id.0)?;
        let name = format!("{}/{}", folder.0, name.0);
        Ok(outputs::read(&gateway, principal, id, &name, range.0.as_deref()).await?)
    }
}
