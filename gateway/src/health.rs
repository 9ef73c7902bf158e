//! Health, capabilities and workers of the service.

mod detailed;

use std::sync::Arc;

use ffapi_domain::{
    key::Scope,
    media::{Engine, MediaRequest, Metric, Operation},
};
use ffapi_projections::{Ends, ReadModelPosition, positions};
use poem::{Result, web::Data};
use poem_openapi::{Object, OpenApi, types::Any};
use serde_json::{Value, json};

use self::detailed::DetailedReply;
use crate::{
    auth::Auth,
    problem::{Kind, Problem},
    reply::Reply,
    state::Gateway,
};

pub(crate) struct Health;

/// The status of the process.
#[derive(Debug, Object)]
pub(crate) struct Status {
    status: String,
    version: String,
}

fn ok() -> Reply<200, Status> {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    Reply::new(Status { status: "ok".to_owned(), version })
}

/// Checks that authenticated requests can be served: the log and the database respond.
pub(crate) async fn is_ready(gateway: &Gateway) -> Result<(), Problem> {
    if gateway.commands.log().nats().connected_for().is_none() {
        return Err(Problem::new(Kind::Unavailable, "the event log is not connected"));
    }
    // A log server that hangs keeps its connections. Without it, the validity of keys is not known,
    // and authenticated requests get 503.
    if gateway.credentials.is_stale() {
        return Err(Problem::new(Kind::Unavailable, "the event log does not answer"));
    }
    if !gateway.database_answers.get(&gateway.database).await {
        return Err(Problem::new(Kind::Unavailable, "the database does not answer"));
    }
    Ok(())
}

#[OpenApi(prefix_path = "/api/v1")]
impl Health {
    /// Check that the process is alive
    #[oai(path = "/health", method = "get", operation_id = "getHealth")]
    async fn live(&self) -> Reply<200, Status> {
        ok()
    }

    /// Check that requests can be served
    #[oai(path = "/health/ready", method = "get", operation_id = "getReadiness")]
    async fn ready(&self, gateway: Data<&Arc<Gateway>>) -> Result<Reply<200, Status>> {
        is_ready(&gateway).await?;
        Ok(ok())
    }

    /// Show the health of each component
    #[oai(path = "/health/detailed", method = "get", operation_id = "getDetailedHealth")]
    async fn detailed(&self, gateway: Data<&Arc<Gateway>>, auth: Auth) -> Result<DetailedReply> {
        let principal = auth.require(Scope::Admin)?;
        Ok(detailed::check(&gateway, &principal.tenant).await)
    }

    /// Show what the workers can do
    ///
    /// The union of what the live workers can do, verified by encoding a frame with each encoder. `engines`
    /// lists each FFmpeg that they use: its version, when it was built, and its configuration; `advisories`
    /// is the page that lists the known vulnerabilities of each version.
    #[oai(path = "/capabilities", method = "get", operation_id = "getCapabilities")]
    async fn capabilities(
        &self,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
    ) -> Result<Reply<200, Any<Value>>> {
        auth.require(Scope::JobsRead)?;
        let capabilities = gateway.workers.capabilities().ok_or_else(|| {
            Problem::new(Kind::Unavailable, "no worker is running; start one, or try again")
        })?;
        Ok(Reply::new(Any(json!({
            "ffmpeg": capabilities.ffmpeg,
            "engines": capabilities.engines,
            "advisories": Engine::ADVISORIES,
            "video_codecs": capabilities.video_codecs,
            "audio_codecs": capabilities.audio_codecs,
            "containers": capabilities.containers,
            "operations": Operation::NAMES,
            "kinds": MediaRequest::KINDS,
            "metrics": Metric::ALL,
            "devices": capabilities.devices,
            "max_upload_bytes": gateway.max_upload,
        }))))
    }

    /// List workers
    #[oai(path = "/admin/workers", method = "get", operation_id = "listWorkers")]
    async fn workers(
        &self,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
    ) -> Result<Reply<200, Any<Value>>> {
        auth.require(Scope::Admin)?;
        Ok(Reply::new(Any(json!({ "data": gateway.workers.all(), "has_more": false }))))
    }

    /// Show how far the read models are
    #[oai(path = "/admin/projections", method = "get", operation_id = "listProjections")]
    async fn projections(
        &self,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
    ) -> Result<Reply<200, Any<Value>>> {
        auth.require(Scope::Admin)?;
        let ends = Ends::now(gateway.commands.log()).await.map_err(Problem::from)?;
        let rows = positions(&gateway.database).await.map_err(Problem::from)?;
        let data: Vec<Value> = rows
            .into_iter()
            .map(|ReadModelPosition { name, position, parked }| {
                let lag = ends.lag(&name, position);
                json!({ "name": name, "position": position, "lag": lag, "parked": parked })
            })
            .collect();
        Ok(Reply::new(Any(json!({ "data": data, "has_more": false }))))
    }
}
