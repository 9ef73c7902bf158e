use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use ffapi_commands::{Caller, Commands};
use ffapi_domain::{
    JobId, Personal, Tenant, Timestamp,
    job::{EventMetadata, Job, JobEvent, JobView},
    media::Capabilities,
    preset::PresetState,
    retention::RetentionPeriods,
};
use ffapi_nats::{
    Actor, Decision, Idempotency, JobLogs, Position, PubSub, QuotaCounter, Vault, trace,
};
use ffapi_projections::{AnchorVerifier, Database};
use ffapi_storage::{EgressConfig, Storage};
use uuid::Uuid;

use crate::{
    CredentialStore, GatewayConfig, ScannerConfig,
    audit_notes::Audit,
    auth::{AnonymousRateLimiter, Issuer, Principal, Proxies},
    cors::CorsPolicy,
    event_bus::EventBus,
    health::DatabaseAnswers,
    jobs::outputs::index::OutputIndex,
    positions::Positions,
    prices::PriceTable,
    problem::Problem,
    progress::ProgressBoard,
    queue_slots::QueueSlots,
    rate_limits::RateLimiter,
    read_barrier::ReadBarrier,
    row_cache::RowCache,
    storage_holds::StorageHolds,
    uploads::InspectionConfig,
};

/// The services that a gateway uses.
#[derive(Debug)]
pub struct Services {
    /// Handles commands: loads aggregates from the event log and appends to it.
    pub commands: Arc<Commands>,
    /// The read models.
    pub database: Database,
    /// File storage.
    pub storage: Storage,
    /// API keys, accounts and media minutes, held in memory.
    pub directory: Arc<CredentialStore>,
    /// Verifies the signed anchors of the audit trail.
    pub notary: AnchorVerifier,
    /// Networks that outgoing requests may connect to.
    pub egress: EgressConfig,
    /// Encrypted secrets: of webhooks, and those of rotated keys until they are collected.
    pub vault: Vault,
    /// How long files are kept, as the conductor is configured.
    pub retention: RetentionPeriods,
}

/// The state that is shared by all requests.
#[derive(Debug)]
pub struct Gateway {
    pub(crate) commands: Arc<Commands>,
    pub(crate) database: Database,
    pub(crate) storage: Storage,
    pub(crate) credentials: Arc<CredentialStore>,
    pub(crate) audit: Audit,
    pub(crate) notary: AnchorVerifier,
    pub(crate) egress: EgressConfig,
    pub(crate) vault: Vault,
    pub(crate) retention: RetentionPeriods,
    pub(crate) rate_limiter: RateLimiter,
    pub(crate) queue_slots: QueueSlots,
    pub(crate) storage_holds: StorageHolds,
    pub(crate) endpoint_limits: BTreeMap<String, u64>,
    pub(crate) issuer: Option<Issuer>,
    pub(crate) scanner: Option<ScannerConfig>,
    pub(crate) inspection: InspectionConfig,
    pub(crate) proxies: Proxies,
    pub(crate) cors: CorsPolicy,
    pub(crate) anonymous_limiter: AnonymousRateLimiter,
    pub(crate) pubsub: PubSub,
    pub(crate) job_logs: JobLogs,
    pub(crate) idempotency: Idempotency,
    pub(crate) positions: Positions,
    pub(crate) read_barrier: ReadBarrier,
    pub(crate) event_bus: EventBus,
    pub(crate) progress: ProgressBoard,
    pub(crate) job_cache: RowCache<JobId, JobView>,
    pub(crate) output_cache: RowCache<JobId, OutputIndex>,
    /// Presets by owner and name.
    pub(crate) preset_cache: RowCache<(String, String), PresetState>,
    /// Probe results by tenant and SHA-256. The content of a file never changes; the tenant is part
    /// of the key so that response times do not reveal which files other tenants have.
    pub(crate) probe_cache: RowCache<(Tenant, String), serde_json::Value>,
    pub(crate) workers: Mutex<Workers>,
    pub(crate) max_upload: u64,
    pub(crate) prices: Option<PriceTable>,
    pub(crate) database_answers: DatabaseAnswers,
}

/// By worker id: when its last heartbeat was received, and what it contained.
pub(crate) type Workers = BTreeMap<String, (std::time::Instant, serde_json::Value)>;

/// Maximum size of the outputs of one job in the cache, in bytes: a job has up to 10,000 of them.
const MAX_OUTPUT_INDEX: usize = 8 * 1024 * 1024;

/// A worker without a heartbeat for this long counts as gone.
const WORKER_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(6);

impl Gateway {
    pub(crate) fn new(services: Services, config: &GatewayConfig, issuer: Option<Issuer>) -> Self {
        let Services { commands, database, storage, directory, notary, egress, vault, retention } =
            services;
        let nats = commands.log().nats().clone();
        Self {
            pubsub: PubSub::new(nats.clone()),
            job_logs: JobLogs::new(nats.clone()),
            idempotency: Idempotency::new(nats.clone()),
            positions: Positions::default(),
            read_barrier: ReadBarrier::new(config.consistency),
            event_bus: EventBus::default(),
            progress: ProgressBoard::default(),
            job_cache: RowCache::closed(),
            output_cache: RowCache::closed().for_rows_up_to(MAX_OUTPUT_INDEX),
            preset_cache: RowCache::new(),
            probe_cache: RowCache::new(),
            workers: Mutex::default(),
            commands,
            database,
            storage,
            credentials: directory,
            audit: Audit::new(),
            notary,
            egress,
            vault,
            retention,
            rate_limiter: RateLimiter::new(QuotaCounter::new(nats)),
            queue_slots: QueueSlots::default(),
            storage_holds: StorageHolds::default(),
            endpoint_limits: config.endpoint_limits.clone(),
            issuer,
            scanner: config.scanner.clone(),
            inspection: config.look.clone(),
            proxies: Proxies::new(config.trusted_proxies.clone(), config.proxy_header),
            cors: CorsPolicy::new(&config.cors_origins),
            anonymous_limiter: AnonymousRateLimiter::new(config.strangers_per_minute),
            max_upload: config.max_upload,
            prices: config.prices.clone(),
            database_answers: DatabaseAnswers::default(),
        }
    }

    /// The newest heartbeat of each live worker.
    pub(crate) fn live_workers(&self) -> Vec<serde_json::Value> {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        workers.retain(|_, (received_at, _)| received_at.elapsed() < WORKER_TIMEOUT);
        workers.values().map(|(_, heartbeat)| heartbeat.clone()).collect()
    }

    /// The union of what the live workers can do; none if no worker is live.
    pub(crate) fn capabilities(&self) -> Option<Capabilities> {
        self.live_workers()
            .into_iter()
            .filter_map(|mut worker| {
                serde_json::from_value(worker.get_mut("capabilities")?.take()).ok()
            })
            .reduce(|all: Capabilities, one| all.union(&one))
    }

    /// What a media request may need: without a live worker nothing is known, and everything is accepted.
    pub(crate) fn media_capabilities(&self) -> Capabilities {
        self.capabilities().unwrap_or_else(Capabilities::everything)
    }

    /// A job as it is in the log now, and the position of its newest event.
    pub(crate) async fn job_in_log(
        &self,
        tenant: &Tenant,
        id: JobId,
    ) -> Result<Option<(JobView, Position)>, Problem> {
        let mut found = None;
        let mut position =
            Position { epoch: self.commands.log().identity().epoch, ..Position::default() };
        let fold = |sequence, decision: Decision<JobEvent>| {
            let at = Timestamp::from_millis(decision.at);
            let trace_id = decision.trace_id();
            let meta = EventMetadata { id, tenant: tenant.clone(), at, trace_id };
            let events = decision.events.iter();
            found = events.fold(found.take(), |row, event| JobView::apply(row, event, &meta));
            position.sequence = sequence;
            position.index =
                u32::try_from(decision.events.len().saturating_sub(1)).unwrap_or(u32::MAX);
        };
        self.commands.visit::<Job>(tenant.as_str(), &id.to_string(), fold).await?;
        Ok(found.map(|job| (job, position)))
    }
}

/// The caller of the commands that a request gives, with a new correlation id.
pub(crate) fn caller(principal: &Principal, request: &poem::Request) -> Caller {
    Caller {
        actor: Actor::Key(principal.key.to_string()),
        correlation_id: Uuid::now_v7(),
        causation: request
            .data::<crate::response_middleware::RequestId>()
            .map(|id| format!("request {}", id.0)),
        traceparent: trace::current().map(|context| context.to_string()),
        address: principal.address.map(|address| Personal::Clear(address.to_string())),
    }
}
