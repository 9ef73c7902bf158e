//! Runs retention on demand, or reports what it would delete.

use std::{sync::Arc, time::Duration};

use ffapi_domain::{
    key::Scope,
    retention::{CLEANUP, CleanupReport},
};
use poem::{Request, Result, web::Data};
use poem_openapi::{Object, OpenApi};
use serde::Deserialize;

use crate::{
    audit_notes::AuditRecord,
    auth::Auth,
    body::StrictJson,
    problem::{Kind, Problem},
    reply::Reply,
    state::Gateway,
};

pub(crate) struct Cleanup;

/// Options of a retention run.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "CleanupRequest")]
pub(crate) struct CleanupBody {
    /// True to only report what would be deleted.
    dry_run: Option<bool>,
}

/// Numbers of what was deleted, or would be.
#[derive(Debug, Object)]
#[oai(rename = "CleanupResult")]
pub(crate) struct RemovedShown {
    /// Jobs whose outputs were deleted.
    jobs: u64,
    uploads: u64,
    /// Records of webhook deliveries.
    deliveries: u64,
}

/// Timeout of a run for the request that waits for it.
const CLEANUP_TIMEOUT: Duration = Duration::from_mins(1);

#[OpenApi(prefix_path = "/api/v1")]
impl Cleanup {
    /// Run retention now
    #[oai(path = "/admin/cleanup", method = "post", operation_id = "cleanup")]
    async fn cleanup(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        body: StrictJson<CleanupBody>,
    ) -> Result<Reply<200, RemovedShown>> {
        let principal = auth.require(Scope::Admin)?;
        gateway.audit.note(AuditRecord::about(request, principal, "admin.cleanup"));
        let mode = if body.value.dry_run.unwrap_or(false) { "dry" } else { "" };
        let answer = gateway.pubsub.request_with(CLEANUP, mode, CLEANUP_TIMEOUT).await;
        let answer = answer.and_then(|answer| serde_json::from_slice(&answer).ok());
        let no_answer =
            || Problem::new(Kind::Unavailable, "no conductor answered in time; try again");
        let CleanupReport { jobs, uploads, deliveries } = answer.ok_or_else(no_answer)?;
        Ok(Reply::new(RemovedShown { jobs, uploads, deliveries }))
    }
}
