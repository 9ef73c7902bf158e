//! What a request that continues an upload knows of it.

use std::sync::Arc;

use ffapi_commands::Caller;
use ffapi_domain::{
    Tenant, Timestamp, UploadId,
    storage_quota::{StorageQuota, StorageQuotaCommand},
    upload::UploadState,
};
use ffapi_storage::{PartialUpload, TenantStorage};

use super::description::{Description, offset};
use crate::{
    problem::{Kind, Problem},
    state::Gateway,
    uploads::stored,
};

/// An upload, and who continues it.
#[derive(Clone)]
pub(super) struct Continued {
    pub(super) gateway: Arc<Gateway>,
    pub(super) tenant: Tenant,
    pub(super) caller: Caller,
    pub(super) id: UploadId,
}

/// What a request assumes about the upload that it continues.
#[derive(Debug, Clone, Copy)]
pub(super) struct Assumed {
    /// Bytes that are received.
    pub(super) offset: u64,
    /// The length, if it is known by now.
    pub(super) length: Option<u64>,
    /// Bytes that a file of the account may have.
    pub(super) max_bytes: u64,
}

impl Continued {
    pub(super) fn storage(&self) -> TenantStorage {
        self.gateway.storage.of(&self.tenant)
    }

    pub(super) async fn description(&self) -> Result<Option<Description>, Problem> {
        let description = self.storage().partial_description(self.id).await?;
        description.as_ref().map(Description::decode).transpose()
    }

    /// Holds storage for an upload of a length, or of at most `max_bytes` of which some are received;
    /// returns how many bytes.
    pub(super) async fn hold(&self, assumed: Assumed, until: Timestamp) -> Result<u64, Problem> {
        // Also an empty part holds storage, for as long as it exists.
        let least = assumed.length.unwrap_or(assumed.offset).max(1);
        let most = assumed.length.unwrap_or(assumed.max_bytes).max(1);
        let (name, thing) = (self.tenant.as_str(), self.id.to_string());
        let limit = self.gateway.credentials.limits(&self.tenant).storage_bytes;
        let hold = StorageQuotaCommand::Hold { thing: thing.clone(), least, most, until, limit };
        let commands = &self.gateway.commands;
        let held = commands.handle::<StorageQuota>(name, name, &self.caller, hold).await?;
        Ok(held.state.held(&thing))
    }

    /// Bytes of storage that are held for the upload.
    pub(super) async fn held(&self) -> Result<u64, Problem> {
        let name = self.tenant.as_str();
        let quota = self.gateway.commands.state::<StorageQuota>(name, name).await?;
        Ok(quota.held(&self.id.to_string()))
    }

    /// The problem of a request for an upload without parts. A client whose last request was interrupted asks
    /// for the offset then, and finds that it is complete.
    pub(super) async fn missing(&self) -> Result<Problem, Problem> {
        Ok(match stored::state(&self.gateway, &self.tenant, self.id).await? {
            UploadState::Completed { .. } => complete(),
            UploadState::Unknown | UploadState::Expired => Problem::not_found("upload"),
        })
    }
}

/// The problem of a request that continues a complete upload.
pub(super) fn complete() -> Problem {
    Problem::header(Kind::Conflict, "Upload-Offset", "the upload is complete")
}

impl Assumed {
    pub(super) fn must_be_true(
        self,
        description: &Description,
        partial: &PartialUpload,
    ) -> Result<(), Problem> {
        let at = offset(description, partial);
        if self.offset == at && description.length.is_none_or(|length| self.length == Some(length))
        {
            return Ok(());
        }
        let detail = format!("the upload continues at {at}");
        let problem = Problem::header(Kind::Conflict, "Upload-Offset", detail);
        Err(problem.with_header("upload-offset", at.to_string()))
    }
}
