use poem_openapi::{Object, types::Any};
use serde_json::Value;

use crate::jobs::show::JobBody;

/// A completely stored upload.
#[derive(Debug, Object)]
#[oai(rename = "Upload", skip_serializing_if_is_none)]
pub(crate) struct UploadBody {
    /// Id, to be used as a job's `input`.
    pub(super) id: String,
    /// The name from `Content-Disposition`.
    pub(super) file_name: Option<String>,
    /// Size in bytes.
    pub(super) size: u64,
    /// SHA-256 of the content, in hex.
    pub(super) sha256: String,
    /// When it was completely received.
    pub(super) created_at: String,
    /// When it will be deleted; absent if it is kept permanently.
    pub(super) expires_at: Option<String>,
    /// The result of probing it, as from `POST /probe`; absent if no worker could inspect it.
    pub(super) media: Option<Any<Value>>,
    /// What is unusual about the file, as sentences; empty if nothing is.
    pub(super) warnings: Vec<String>,
    /// The job that was submitted with it, if it was sent with a token that says so.
    pub(super) job: Option<JobBody>,
}
