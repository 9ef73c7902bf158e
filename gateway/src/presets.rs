//! The presets resource: the routes. The operations are in the submodules.

pub(crate) mod apply;
mod define;
mod rerun;
mod show;
pub(crate) mod system;

use std::sync::Arc;

use ffapi_domain::key::Scope;
use poem::{Request, Result, web::Data};
use poem_openapi::{
    OpenApi,
    param::{Header, Path, Query},
};

pub(crate) use self::apply::{apply, find};
use self::{
    define::{PresetBody, PresetPut},
    rerun::RerunBody,
    show::{PresetList, PresetShown},
};
use crate::{
    auth::Auth,
    batches::BatchShown,
    body::{StrictJson, Unread},
    reply::Reply,
    request_context::caller,
    state::Gateway,
};

pub(crate) struct Presets;

#[OpenApi(prefix_path = "/api/v1")]
impl Presets {
    /// Create a preset, or a new version of one
    ///
    /// An account has up to 200 presets, and a preset up to 100 versions.
    #[oai(path = "/presets", method = "post", operation_id = "createPreset")]
    async fn create(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        #[oai(name = "Idempotency-Key")] key: Header<Option<String>>,
        body: Unread<PresetBody>,
    ) -> Result<Reply<201, PresetShown>> {
        let principal = auth.require(Scope::JobsWrite)?;
        let caller = caller(principal, request);
        Ok(define::create(&gateway, principal, &caller, body, key.0).await?)
    }

    /// List presets
    ///
    /// The account's own presets and the shared ones, the newest version of each.
    #[oai(path = "/presets", method = "get", operation_id = "listPresets")]
    async fn list(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        limit: Query<Option<u32>>,
        cursor: Query<Option<String>>,
        min_position: Query<Option<String>>,
    ) -> Result<Reply<200, PresetList>> {
        let principal = auth.require(Scope::JobsRead)?;
        let (limit, cursor, min_position) = (limit.0, cursor.0, min_position.0);
        let query = show::PresetQuery { limit, cursor, min_position };
        Ok(show::list(&gateway, principal, request.original_uri(), query).await?)
    }

    /// Show a preset's newest version
    #[oai(path = "/presets/:name", method = "get", operation_id = "getPreset")]
    async fn find(
        &self,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        name: Path<String>,
        #[oai(name = "If-None-Match")] if_none_match: Header<Option<String>>,
    ) -> Result<Reply<200, PresetShown>> {
        let principal = auth.require(Scope::JobsRead)?;
        let known = if_none_match.0.as_deref();
        Ok(show::find(&gateway, principal, &name.0, None, known).await?)
    }

    /// Create a new version of a preset
    #[oai(path = "/presets/:name", method = "put", operation_id = "updatePreset")]
    async fn update(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        name: Path<String>,
        #[oai(name = "If-Match")] if_match: Header<Option<String>>,
        body: Unread<PresetPut>,
    ) -> Result<Reply<200, PresetShown>> {
        let principal = auth.require(Scope::JobsWrite)?;
        let caller = caller(principal, request);
        let (name, preset) = (&name.0, body);
        Ok(define::update(&gateway, principal, &caller, name, preset, if_match.0).await?)
    }

    /// Delete a preset
    ///
    /// No new job may use it. Its versions can still be read, and jobs that used them can be rerun.
    #[oai(path = "/presets/:name", method = "delete", operation_id = "deletePreset")]
    async fn delete(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        name: Path<String>,
        #[oai(name = "If-Match")] if_match: Header<Option<String>>,
    ) -> Result<Reply<200, PresetShown>> {
        let principal = auth.require(Scope::JobsWrite)?;
        let caller = caller(principal, request);
        Ok(define::delete(&gateway, principal, &caller, &name.0, if_match.0).await?)
    }

    /// Show one version of a preset
    #[oai(path = "/presets/:name/:version", method = "get", operation_id = "getPresetVersion")]
    async fn version(
        &self,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        name: Path<String>,
        version: Path<u32>,
        #[oai(name = "If-None-Match")] if_none_match: Header<Option<String>>,
    ) -> Result<Reply<200, PresetShown>> {
        let principal = auth.require(Scope::JobsRead)?;
        let known = if_none_match.0.as_deref();
        Ok(show::find(&gateway, principal, &name.0, Some(version.0), known).await?)
    }

    /// Rerun the jobs of a preset version with the newest version
    ///
    /// A batch of up to 1000 jobs, one for each completed job that used that version.
    #[oai(
        path = "/presets/:name/:version/rerun",
        method = "post",
        operation_id = "rerunPresetVersion"
    )]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter")]
    async fn rerun(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        name: Path<String>,
        version: Path<u32>,
        #[oai(name = "Idempotency-Key")] key: Header<Option<String>>,
        body: StrictJson<RerunBody>,
    ) -> Result<Reply<201, BatchShown>> {
        let principal = auth.require(Scope::JobsWrite)?;
        let (name, version) = (name.0.as_str(), version.0);
        let rerun = rerun::rerun(&gateway, request, principal, name, version, body, key.0);
        Ok(Box::pin(rerun).await?)
    }
}
