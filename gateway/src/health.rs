//! How the service is, what it can do, who works.

use std::{sync::Arc, time::Duration};

use ffapi_domain::{
    key::Scope,
    media::{MediaRequest, Metric, Operation},
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

/// Messages that a read model may lack for a moment: a second of a very busy log.
const FAR_BEHIND: u64 = 10_000;

/// How it is.
#[derive(Debug, Object)]
pub(crate) struct Status {
    status: String,
    version: String,
}

fn ok() -> Reply<200, Status> {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    Reply::new(Status { status: "ok".to_owned(), version })
}

/// How long the database may take to say that it is there.
const PATIENCE: Duration = Duration::from_secs(2);

/// True if requests with a key are answered, and the log and the database are there for them.
pub(crate) async fn is_ready(gateway: &Gateway) -> Result<(), Problem> {
    if gateway.commands.log().nats().connected_for().is_none() {
        return Err(Problem::new(Kind::Unavailable, "the event log is not connected"));
    }
    // A server that stands still breaks no connection. Without its answers nobody knows which keys are good,
    // and whoever shows one is told to come again.
    if gateway.directory.is_behind() {
        return Err(Problem::new(Kind::Unavailable, "the event log does not answer"));
    }
    let answers = tokio::time::timeout(PATIENCE, gateway.database.answers()).await;
    if !answers.unwrap_or(false) {
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
        let principal = auth.may(Scope::Admin)?;
        let nats = gateway.commands.log().nats();
        let ends = Ends::now(gateway.commands.log()).await.ok();
        let projections = positions(&gateway.database).await.ok();
        let workers = gateway.present();
        let read_models: Map<String, Value> = projections
            .iter()
            .flatten()
            .map(|(name, at, parked)| {
                let lag = ends.and_then(|ends| ends.lag(name, *at));
                let state = match lag {
                    Some(lag) if lag > FAR_BEHIND => "behind",
                    // One aggregate is passed over, all others are served.
                    _ if *parked > 0 => "parked",
                    _ => "running",
                };
                let shown = json!({ "position": at, "lag": lag, "parked": parked, "state": state });
                (name.clone(), shown)
            })
            .collect();
        let conducted = queue::places(&gateway, &principal.tenant, None, 1).await.is_ok();
        let stored = gateway.storage.answers().await;
        let in_time = read_models.values().all(|model| model["state"] != "behind");
        let parked = read_models.values().any(|model| model["state"] == "parked");
        let healthy = ends.is_some()
            && projections.is_some()
            && in_time
            && conducted
            && stored
            && !workers.is_empty();
        let status = |well: bool| if well { "ok" } else { "down" };
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
                    "durability": "every append is fsynced before it is answered, if the server \
                                   runs with sync_interval: always, as ours do",
                },
                "database": { "status": status(projections.is_some()) },
                "conductor": { "status": status(conducted) },
                "storage": { "status": status(stored) },
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
    /// The union of what the live workers can do, verified by encoding a frame with each encoder.
    #[oai(path = "/capabilities", method = "get", operation_id = "getCapabilities")]
    async fn capabilities(
        &self,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
    ) -> Result<Reply<200, Any<Value>>> {
        auth.may(Scope::JobsRead)?;
        let capabilities = gateway.capabilities().ok_or_else(|| {
            Problem::new(Kind::Unavailable, "no worker is running; start one, or try again")
        })?;
        Ok(Reply::new(Any(json!({
            "ffmpeg": capabilities.ffmpeg,
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
        auth.may(Scope::Admin)?;
        Ok(Reply::new(Any(json!({ "data": gateway.present(), "has_more": false }))))
    }

    /// Show how far the read models are
    #[oai(path = "/admin/projections", method = "get", operation_id = "listProjections")]
    async fn projections(
        &self,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
    ) -> Result<Reply<200, Any<Value>>> {
        auth.may(Scope::Admin)?;
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
