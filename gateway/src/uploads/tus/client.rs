use std::sync::Arc;

use ffapi_domain::UploadId;
use ffapi_storage::PartialUpload;

use super::{continued::Continued, description::Description};
use crate::{auth::Principal, problem::Problem, state::Gateway, uploads::receive::Uploader};

/// A request of a client that may upload.
pub(super) struct Tus {
    pub(super) gateway: Arc<Gateway>,
    pub(super) principal: Principal,
}

impl Tus {
    /// The largest file that the account may upload, in bytes.
    pub(super) fn max_bytes(&self) -> u64 {
        let limits = self.gateway.credentials.limits(&self.principal.tenant);
        self.gateway.max_upload.min(limits.max_file_bytes)
    }

    /// An upload, which a request of the client continues.
    pub(super) fn upload(&self, uploader: &Uploader, id: UploadId) -> Continued {
        let (gateway, tenant) = (Arc::clone(&self.gateway), self.principal.tenant.clone());
        Continued { gateway, tenant, caller: uploader.caller().clone(), id }
    }

    /// An upload that is not complete.
    pub(super) async fn partial(
        &self,
        id: UploadId,
    ) -> Result<(Description, PartialUpload), Problem> {
        let partial = self.gateway.storage.of(&self.principal.tenant).partial(id).await?;
        let partial = partial.ok_or_else(|| Problem::not_found("upload"))?;
        Ok((Description::decode(&partial.description)?, partial))
    }
}
