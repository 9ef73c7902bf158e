//! The batches resource: the routes. The operations are in the submodules.

mod body;
mod cancel;
mod carry_out;
mod create;
mod names;
mod retry;
mod show;
mod specs;
mod stats;

use std::sync::Arc;

use ffapi_domain::{BatchId, key::Scope};
use poem::{Request, Result, web::Data};
use poem_openapi::{
    OpenApi,
    param::{Header, Path, Query},
};

use self::{body::BatchBody, show::BatchPage, stats::BatchStats};
pub(crate) use self::{
    body::DEFAULT_PARALLEL,
    create::{BatchOptions, replay, submit},
    show::{BatchShown, in_log},
    specs::Specs,
};
use crate::{
    auth::Auth,
    body::StrictJson,
    jobs::list::{self, JobPage},
    problem::Problem,
    reply::Reply,
    request_context::caller,
    state::Gateway,
};

pub(crate) struct Batches;

fn batch_id(text: &str) -> Result<BatchId, Problem> {
    text.parse().map_err(|_| Problem::not_found("batch"))
}

#[OpenApi(prefix_path = "/api/v1")]
impl Batches {
    /// Create a batch
    ///
    /// Up to 1000 jobs, accepted all together or not at all. With `Idempotency-Key` the request can
    /// be repeated safely.
    #[oai(path = "/batch", method = "post", operation_id = "createBatch")]
    async fn create(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        #[oai(name = "Idempotency-Key")] key: Header<Option<String>>,
        body: StrictJson<BatchBody>,
    ) -> Result<Reply<201, BatchShown>> {
        let principal = auth.require(Scope::JobsWrite)?;
        Ok(Box::pin(create::create(&gateway, request, principal, body, key.0)).await?)
    }

    /// List batches
    ///
    /// Newest first.
    #[oai(path = "/batch", method = "get", operation_id = "listBatches")]
    async fn list(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        limit: Query<Option<u32>>,
        cursor: Query<Option<String>>,
        min_position: Query<Option<String>>,
    ) -> Result<Reply<200, BatchPage>> {
        let principal = auth.require(Scope::JobsRead)?;
        let query =
            show::BatchQuery { limit: limit.0, cursor: cursor.0, min_position: min_position.0 };
        Ok(show::list(&gateway, principal, request.original_uri(), query).await?)
    }

    /// Show batch statistics
    #[oai(path = "/batch/stats", method = "get", operation_id = "getBatchStats")]
    async fn stats(
        &self,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        min_position: Query<Option<String>>,
    ) -> Result<Reply<200, BatchStats>> {
        let principal = auth.require(Scope::JobsRead)?;
        Ok(stats::stats(&gateway, principal, min_position.0.as_deref()).await?)
    }

    /// Show a batch
    #[oai(path = "/batch/:id", method = "get", operation_id = "getBatch")]
    async fn find(
        &self,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        id: Path<String>,
        min_position: Query<Option<String>>,
    ) -> Result<Reply<200, BatchShown>> {
        let principal = auth.require(Scope::JobsRead)?;
        let min_position = min_position.0.as_deref();
        Ok(show::find(&gateway, principal, batch_id(&id.0)?, min_position).await?)
    }

    /// List a batch's jobs
    #[oai(path = "/batch/:id/jobs", method = "get", operation_id = "listBatchJobs")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter")]
    async fn jobs(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        id: Path<String>,
        status: Query<Option<String>>,
        kind: Query<Option<String>>,
        preset: Query<Option<String>>,
        created_after: Query<Option<String>>,
        created_before: Query<Option<String>>,
        sort: Query<Option<String>>,
        limit: Query<Option<u32>>,
        cursor: Query<Option<String>>,
        min_position: Query<Option<String>>,
    ) -> Result<Reply<200, JobPage>> {
        let principal = auth.require(Scope::JobsRead)?;
        let id = batch_id(&id.0)?;
        show::find(&gateway, principal, id, min_position.0.as_deref()).await?;
        let query = list::JobListQuery {
            status: status.0,
            kind: kind.0,
            preset: preset.0,
            created_after: created_after.0,
            created_before: created_before.0,
            batch_id: Some(id.to_string()),
            sort: sort.0,
            limit: limit.0,
            cursor: cursor.0,
            min_position: min_position.0,
            ..list::JobListQuery::of(request.original_uri())
        };
        Ok(list::list(&gateway, principal, query).await?)
    }

    /// Cancel a batch
    ///
    /// Waiting jobs are cancelled at once, running ones within a second; completed ones stay.
    #[oai(path = "/batch/:id/cancel", method = "post", operation_id = "cancelBatch")]
    async fn cancel(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        id: Path<String>,
    ) -> Result<Reply<202, BatchShown>> {
        let principal = auth.require(Scope::JobsWrite)?;
        let caller = caller(principal, request);
        Ok(cancel::cancel(&gateway, principal, &caller, batch_id(&id.0)?).await?)
    }

    /// Retry a batch's failed and cancelled jobs
    #[oai(path = "/batch/:id/retry", method = "post", operation_id = "retryBatch")]
    async fn retry(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        id: Path<String>,
    ) -> Result<Reply<202, BatchShown>> {
        let principal = auth.require(Scope::JobsWrite)?;
        let caller = caller(principal, request);
        Ok(retry::retry(&gateway, principal, &caller, batch_id(&id.0)?).await?)
    }
}
