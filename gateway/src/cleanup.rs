//! Removes now what was kept long enough, or says what would be.

use std::{sync::Arc, time::Duration};

use ffapi_domain::{
    key::Scope,
    retention::{CLEANUP, Removed},
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

/// How it is removed.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "CleanupRequest")]
pub(crate) struct CleanupBody {
    /// True to be told only.
    dry_run: Option<bool>,
}

/// What was removed, or would be.
#[derive(Debug, Object)]
#[oai(rename = "CleanupResult")]
pub(crate) struct RemovedShown {
    /// Jobs whose outputs are gone.
    jobs: u64,
    uploads: u64,
    /// Records of webhook deliveries.
    deliveries: u64,
}

/// How long a round may take while somebody waits for it.
const PATIENCE: Duration = Duration::from_mins(1);

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
        let principal = auth.may(Scope::Admin)?;
        gateway.audit.note(AuditRecord::about(request, principal, "admin.cleanup"));
        let how = if body.value.dry_run.unwrap_or(false) { "dry" } else { "" };
        let answer = gateway.live.ask_about(CLEANUP, how, PATIENCE).await;
        let answer = answer.and_then(|answer| serde_json::from_slice(&answer).ok());
        let nobody = || Problem::new(Kind::Unavailable, "no conductor answered in time; try again");
        let Removed { jobs, uploads, deliveries } = answer.ok_or_else(nobody)?;
        Ok(Reply::new(RemovedShown { jobs, uploads, deliveries }))
    }
}
