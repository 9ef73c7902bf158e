//! The outputs of a job: the routes. The operations are in the submodules.

mod delete;
mod download_limits;
mod file_response;
mod list;
mod lookup;
mod read;

use std::sync::Arc;

use ffapi_domain::key::Scope;
use poem::{Request, Result, web::Data};
use poem_openapi::{
    OpenApi,
    param::{Header, Path, Query},
};

use self::{
    delete::Deletion,
    file_response::FileRequest,
    list::{OutputList, OutputQuery},
};
use super::{id::job_id, show::JobBody};
use crate::{
    auth::{Auth, ReadAuth},
    reply::{Raw, Reply},
    request_context::caller,
    state::Gateway,
};

pub(crate) struct Outputs;

#[OpenApi(prefix_path = "/api/v1")]
impl Outputs {
    /// List a job's outputs
    #[oai(path = "/jobs/:id/outputs", method = "get", operation_id = "listJobOutputs")]
    async fn outputs(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: ReadAuth,
        id: Path<String>,
        limit: Query<Option<u32>>,
        cursor: Query<Option<String>>,
    ) -> Result<Reply<200, OutputList>> {
        let principal = auth.require_read()?;
        let query = OutputQuery { uri: request.original_uri(), limit: limit.0, cursor: cursor.0 };
        Ok(list::list(&gateway, &principal.tenant, job_id(&id.0)?, query).await?)
    }

    /// Delete a job's outputs
    ///
    /// Before their retention ends. The job and its history are kept. A file that a later
    /// job has replaced is kept.
    #[oai(path = "/jobs/:id/outputs", method = "delete", operation_id = "deleteJobOutputs")]
    async fn delete_outputs(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        id: Path<String>,
        #[oai(name = "If-Match")] if_match: Header<Option<String>>,
    ) -> Result<Reply<200, JobBody>> {
        let principal = auth.require(Scope::JobsWrite)?;
        let caller = caller(principal, request);
        let deletion = Deletion { id: job_id(&id.0)?, name: None, if_match: if_match.0, caller };
        Ok(delete::delete(&gateway, principal, deletion).await?)
    }

    /// Delete an output
    ///
    /// Before its retention ends; the job no longer lists it.
    #[oai(path = "/jobs/:id/outputs/:name", method = "delete", operation_id = "deleteJobOutput")]
    async fn delete_output(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        id: Path<String>,
        name: Path<String>,
        #[oai(name = "If-Match")] if_match: Header<Option<String>>,
    ) -> Result<Reply<200, JobBody>> {
        let principal = auth.require(Scope::JobsWrite)?;
        let (id, caller) = (job_id(&id.0)?, caller(principal, request));
        let deletion = Deletion { id, name: Some(name.0), if_match: if_match.0, caller };
        Ok(delete::delete(&gateway, principal, deletion).await?)
    }

    /// Delete an output in a folder
    #[oai(
        path = "/jobs/:id/outputs/:folder/:name",
        method = "delete",
        operation_id = "deleteJobOutputInFolder"
    )]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter")]
    async fn delete_output_in_folder(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        id: Path<String>,
        folder: Path<String>,
        name: Path<String>,
        #[oai(name = "If-Match")] if_match: Header<Option<String>>,
    ) -> Result<Reply<200, JobBody>> {
        let principal = auth.require(Scope::JobsWrite)?;
        let (id, caller) = (job_id(&id.0)?, caller(principal, request));
        let name = Some(format!("{}/{}", folder.0, name.0));
        let deletion = Deletion { id, name, if_match: if_match.0, caller };
        Ok(delete::delete(&gateway, principal, deletion).await?)
    }

    /// Download an output, or a part of it by `Range`
    #[oai(path = "/jobs/:id/outputs/:name", method = "get", operation_id = "getJobOutput")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter")]
    async fn output(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: ReadAuth,
        id: Path<String>,
        name: Path<String>,
        /// Saves the file under this name instead of showing it; under its own if empty.
        download: Query<Option<String>>,
        #[oai(name = "Range")] _range: Header<Option<String>>,
        #[oai(name = "If-Range")] _if_range: Header<Option<String>>,
        #[oai(name = "If-None-Match")] _if_none_match: Header<Option<String>>,
        #[oai(name = "If-Modified-Since")] _if_modified_since: Header<Option<String>>,
    ) -> Result<Raw> {
        let principal = auth.require_read()?;
        let id = job_id(&id.0)?;
        let name = name.0;
        let request = FileRequest::of(request, download.0.as_deref());
        Ok(read::read(&gateway, principal, id, &name, request).await?)
    }

    /// Download an output in a folder, as a manifest names it
    #[oai(
        path = "/jobs/:id/outputs/:folder/:name",
        method = "get",
        operation_id = "getJobOutputInFolder"
    )]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter")]
    async fn output_in_folder(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: ReadAuth,
        id: Path<String>,
        folder: Path<String>,
        name: Path<String>,
        /// Saves the file under this name instead of showing it; under its own if empty.
        download: Query<Option<String>>,
        #[oai(name = "Range")] _range: Header<Option<String>>,
        #[oai(name = "If-Range")] _if_range: Header<Option<String>>,
        #[oai(name = "If-None-Match")] _if_none_match: Header<Option<String>>,
        #[oai(name = "If-Modified-Since")] _if_modified_since: Header<Option<String>>,
    ) -> Result<Raw> {
        let principal = auth.require_read()?;
        let id = job_id(&id.0)?;
        let name = format!("{}/{}", folder.0, name.0);
        let request = FileRequest::of(request, download.0.as_deref());
        Ok(read::read(&gateway, principal, id, &name, request).await?)
    }
}
