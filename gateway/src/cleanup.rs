//! Removes now what was kept long enough, or says what would be.

use std::{sync::Arc, time::Duration};

use domain::key::Scope;
use poem::{Request, Result, web::Data};
use poem_openapi::{Object, OpenApi};
use serde::Deserialize;

use crate::{
    audit::Fact,
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
#[derive(Debug, Deserialize, Object)]
#[oai(rename = "CleanupResult")]
pub(crate) struct Removed {
    /// Jobs whose outputs are gone.
    jobs: u64,
    uploads: u64,
    /// Records of webhook deliveries; not counted in a dry run.
    deliveries: u64,
}

/// Where the process that removes is asked.
const CLEANUP: &str = "rpc.cleanup";
/// How long a round may take while somebody waits for it.
const PATIENCE: Duration = Duration::from_mins(1);

#[OpenApi(prefix_path = "/api/v1")]
impl Cleanup {
    /// Remove now what was kept long enough
    #[oai(path = "/admin/cleanup", method = "post", operation_id = "cleanup")]
    async fn cleanup(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        body: StrictJson<CleanupBody>,
    ) -> Result<Reply<200, Removed>> {
        let principal = auth.may(Scope::Admin)?;
        gateway.audit.note(Fact::about(request, principal, "admin.cleanup"));
        let how = if body.value.dry_run.unwrap_or(false) { "dry" } else { "" };
        let answer = gateway.live.ask_about(CLEANUP, how, PATIENCE).await;
        let answer = answer.and_then(|answer| serde_json::from_slice(&answer).ok());
        let nobody = || Problem::new(Kind::Unavailable, "no conductor answered in time");
        Ok(Reply::new(answer.ok_or_else(nobody)?))
    }
}
