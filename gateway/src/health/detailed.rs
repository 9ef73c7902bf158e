//! The health of each component, asked at once.

use std::{collections::BTreeMap, time::SystemTime};

use ffapi_domain::Tenant;
use ffapi_nats::{Log, LogError, StreamState};
use ffapi_projections::{Ends, ReadModelPosition, positions};
use poem_openapi::{ApiResponse, Enum, Object, payload::Json};

use crate::{queue, state::Gateway};

/// Lag in messages above which a read model is behind: about a second of a very busy log.
const MAX_LAG: u64 = 10_000;
/// Seconds that the oldest message may wait before a read model is behind.
const MAX_LAG_SECONDS: f64 = 10.0;

#[derive(ApiResponse)]
pub(crate) enum DetailedReply {
    /// All components work
    #[oai(status = 200)]
    Healthy(Json<DetailedHealth>),
    /// A component does not work
    #[oai(status = 503)]
    Unhealthy(Json<DetailedHealth>),
}

/// The health of the service.
#[derive(Debug, Object)]
pub(crate) struct DetailedHealth {
    status: Overall,
    components: Components,
}

/// `degraded`: everything works, but read models skipped messages of some resources, or the log has fewer
/// current replicas than it should have. `unhealthy`: a component does not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
enum Overall {
    Ok,
    Degraded,
    Unhealthy,
}

#[derive(Debug, Object)]
#[oai(rename = "HealthComponents")]
struct Components {
    log: LogHealth,
    database: ComponentHealth,
    /// Whether a conductor answers, which releases jobs to workers.
    conductor: ComponentHealth,
    storage: StorageHealth,
    /// The read models by name; empty if the database does not answer.
    projections: BTreeMap<String, ReadModelHealth>,
    workers: WorkersHealth,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
enum ComponentStatus {
    Ok,
    Down,
}

impl ComponentStatus {
    const fn of(is_ok: bool) -> Self {
        if is_ok { Self::Ok } else { Self::Down }
    }
}

#[derive(Debug, Object)]
struct ComponentHealth {
    status: ComponentStatus,
}

/// The event log, in NATS.
#[derive(Debug, Object)]
struct LogHealth {
    status: ComponentStatus,
    /// The version of the server at the start of this process.
    server: String,
    /// Sequence of the newest event; null if the log does not answer.
    last_sequence: Option<u64>,
    /// How safe an acknowledged event is; null if the log does not answer.
    durability: Option<Durability>,
}

/// An event is acknowledged once a majority of the replicas has it. Each has fsynced it by then if its server
/// runs with `sync_interval: always`, as in every configuration that is shipped.
#[derive(Debug, Object)]
struct Durability {
    /// Servers that store the log.
    replicas: u64,
    /// Those of them that have all of it.
    current_replicas: u64,
}

#[derive(Debug, Object)]
struct StorageHealth {
    status: ComponentStatus,
    /// The stores by name.
    stores: BTreeMap<String, ComponentStatus>,
}

/// How far a read model has followed the log.
#[derive(Debug, Object)]
struct ReadModelHealth {
    state: ReadModelState,
    /// Sequence of the last message that it applied.
    position: u64,
    /// Messages that it has not applied yet; null if the log does not answer, or the read model is built on
    /// demand.
    lag: Option<u64>,
    /// Seconds since the oldest of those messages was stored; null where `lag` is.
    lag_seconds: Option<f64>,
    /// Messages that could not be applied, and were skipped.
    parked: u64,
}

/// `behind`: over 10,000 messages or 10 seconds. `parked`: it skipped messages that it could not apply; all
/// other resources are up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
enum ReadModelState {
    Running,
    Parked,
    Behind,
}

#[derive(Debug, Object)]
struct WorkersHealth {
    /// `down` if there is none.
    status: ComponentStatus,
    count: usize,
}

/// Asks every component; `tenant` is the account whose queue is asked for.
pub(crate) async fn check(gateway: &Gateway, tenant: &Tenant) -> DetailedReply {
    let log = gateway.commands.log();
    let (state, read_models, positions, stores) = tokio::join!(
        log.state(),
        read_models(gateway),
        queue::positions(gateway, tenant, None, 1),
        stores(gateway),
    );
    let workers = gateway.workers.all().len();
    let components = Components {
        log: log_health(log, state.as_ref().ok()),
        database: ComponentHealth { status: ComponentStatus::of(read_models.is_some()) },
        conductor: ComponentHealth { status: ComponentStatus::of(positions.is_ok()) },
        storage: stores,
        projections: read_models.unwrap_or_default(),
        workers: WorkersHealth { status: ComponentStatus::of(workers > 0), count: workers },
    };
    let status = components.overall();
    let health = Json(DetailedHealth { status, components });
    match status {
        Overall::Ok | Overall::Degraded => DetailedReply::Healthy(health),
        Overall::Unhealthy => DetailedReply::Unhealthy(health),
    }
}

impl Components {
    fn overall(&self) -> Overall {
        let statuses = [
            self.log.status,
            self.database.status,
            self.conductor.status,
            self.storage.status,
            self.workers.status,
        ];
        let has = |state| self.projections.values().any(|model| model.state == state);
        let lacks_replicas = |kept: &Durability| kept.current_replicas < kept.replicas;
        if statuses.contains(&ComponentStatus::Down) || has(ReadModelState::Behind) {
            Overall::Unhealthy
        } else if has(ReadModelState::Parked)
            || self.log.durability.as_ref().is_some_and(lacks_replicas)
        {
            Overall::Degraded
        } else {
            Overall::Ok
        }
    }
}

fn log_health(log: &Log, state: Option<&StreamState>) -> LogHealth {
    LogHealth {
        status: ComponentStatus::of(state.is_some()),
        server: log.nats().server_version(),
        last_sequence: state.map(|state| state.last_sequence),
        durability: state.map(|state| Durability {
            replicas: state.replicas,
            current_replicas: state.current_replicas,
        }),
    }
}

/// The read models by name; none if the database does not answer.
async fn read_models(gateway: &Gateway) -> Option<BTreeMap<String, ReadModelHealth>> {
    let positions = positions(&gateway.database).await.ok()?;
    let log = gateway.commands.log();
    let ends = Ends::now(log).await.ok();
    let mut models = BTreeMap::new();
    for ReadModelPosition { name, position, parked } in positions {
        let lag = ends.and_then(|ends| ends.lag(&name, position));
        let lag_seconds = match lag {
            None => None,
            Some(0) => Some(0.0),
            Some(_) => waiting_since(log, &name, position).await.ok().flatten(),
        };
        let is_behind = lag.is_some_and(|lag| lag > MAX_LAG)
            || lag_seconds.is_some_and(|seconds| seconds > MAX_LAG_SECONDS);
        let state = match (is_behind, parked) {
            (true, _) => ReadModelState::Behind,
            (false, 1..) => ReadModelState::Parked,
            (false, 0) => ReadModelState::Running,
        };
        models.insert(name, ReadModelHealth { state, position, lag, lag_seconds, parked });
    }
    Some(models)
}

/// Seconds since the first message after a position was stored; none if that is not known.
async fn waiting_since(log: &Log, model: &str, position: u64) -> Result<Option<f64>, LogError> {
    let stored = Ends::stream(log, model).stored_at(position.saturating_add(1)).await?;
    let waited = stored.map(|at| SystemTime::now().duration_since(at).unwrap_or_default());
    Ok(waited.map(|waited| waited.as_secs_f64()))
}

async fn stores(gateway: &Gateway) -> StorageHealth {
    let mut stores = BTreeMap::new();
    for (name, failure) in gateway.storage.check().await {
        if let Some(error) = &failure {
            tracing::warn!(store = name, ?error, "a store cannot be used");
        }
        stores.insert(name, ComponentStatus::of(failure.is_none()));
    }
    let is_ok = stores.values().all(|status| *status == ComponentStatus::Ok);
    StorageHealth { status: ComponentStatus::of(is_ok), stores }
}
