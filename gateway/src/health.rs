//! Health, capabilities and workers of the service.

use std::sync::Arc;

use ffapi_domain::{
    key::Scope,
    media::{Engine, MediaRequest, Metric, Operation},
};
use ffapi_projections::{Ends, positions};
use poem::{Response, Result, http::StatusCode, web::Data};
use poem_openapi::{Object, OpenApi, types::Any};
use serde_json::{Map, Value, json};

use crate::{
    auth::Auth,
    problem::{Kind, Problem},
    queue,
    reply::{Raw, Reply},
    state::Gateway,
};

pub(crate) struct Health;

/// Lag in messages above which a read model is unhealthy: about a second of a very busy log.
const MAX_LAG: u64 = 10_000;

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
    async fn detailed(&self, gateway: Data<&Arc<Gateway>>, auth: Auth) -> Result<Raw> {
        let principal = auth.require(Scope::Admin)?;
        let nats = gateway.commands.log().nats();
        let ends = Ends::now(gateway.commands.log()).await.ok();
        let projections = positions(&gateway.database).await.ok();
        let workers = gateway.workers.all();
        let read_models: Map<String, Value> = projections
            .iter()
            .flatten()
            .map(|(name, at, parked)| {
                let lag = ends.and_then(|ends| ends.lag(name, *at));
                let state = match lag {
                    Some(lag) if lag > MAX_LAG => "behind",
                    // Messages of some aggregates are skipped, all others are served.
                    _ if *parked > 0 => "parked",
                    _ => "running",
                };
                let shown = json!({ "position": at, "lag": lag, "parked": parked, "state": state });
                (name.clone(), shown)
            })
            .collect();
        let conductor_ok = queue::positions(&gateway, &principal.tenant, None, 1).await.is_ok();
        let status = |healthy: bool| if healthy { "ok" } else { "down" };
        let stores = gateway.storage.check().await;
        let storage_ok = stores.iter().all(|(_, failure)| failure.is_none());
        let stores: Map<String, Value> = stores
            .into_iter()
            .map(|(name, failure)| {
                if let Some(error) = &failure {
                    tracing::warn!(store = name, ?error, "a store cannot be used");
                }
                (name, json!(status(failure.is_none())))
            })
            .collect();
        let up_to_date = read_models.values().all(|model| model["state"] != "behind");
        let parked = read_models.values().any(|model| model["state"] == "parked");
        let healthy = ends.is_some()
            && projections.is_some()
            && up_to_date
            && conductor_ok
            && storage_ok
            && !workers.is_empty();
        let overall = match (healthy, parked) {
            (false, _) => "unhealthy",
            (true, true) => "degraded",
            (true, false) => "ok",
        };
        let body = json!({
            "status": overall,
            "components": {
                "log": {
                    "status": status(ends.is_some()),
                    "server": nats.server_version(),
                    "last_sequence": ends.map(|ends| ends.log),
                    "durability": "every append is fsynced before it is acknowledged if the server \
                                   runs with sync_interval: always, which is the default setup",
                },
                "database": { "status": status(projections.is_some()) },
                "conductor": { "status": status(conductor_ok) },
                "storage": { "status": status(storage_ok), "stores": stores },
                "projections": read_models,
                "workers": {
                    "status": status(!workers.is_empty()),
                    "count": workers.len(),
                },
            },
        });
        let status = if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let response = Response::builder().status(status).content_type("application/json");
        Ok(Raw(response.body(body.to_string())))
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
            .map(|(name, at, parked)| {
                let lag = ends.lag(&name, at);
                json!({ "name": name, "position": at, "lag": lag, "parked": parked })
            })
            .collect();
        Ok(Reply::new(Any(json!({ "data": data, "has_more": false }))))
    }
}
