use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use ffapi_commands::{Caller, Commands};
use ffapi_domain::{
    JobId, Personal, Tenant, Timestamp,
    job::{Job, JobView, Recorded},
    media::Capabilities,
    preset::PresetState,
};
use ffapi_nats::{Actor, Idempotency, JobLogs, Position, PubSub, QuotaCounter, Vault};
use ffapi_projections::{Database, Notary};
use ffapi_storage::{EgressConfig, Storage};
use uuid::Uuid;

use crate::{
    CredentialStore, GatewayConfig, ScannerConfig,
    audit_notes::Audit,
    auth::{AnonymousRateLimiter, Issuer, Principal, Proxies},
    event_bus::EventBus,
    positions::Positions,
    problem::Problem,
    progress::ProgressBoard,
    queue_slots::QueueSlots,
    rate_limits::RateLimiter,
    row_cache::RowCache,
    storage_holds::Holds,
    trace,
    uploads::LookConfig,
};

/// What a gateway stands on.
#[derive(Debug)]
pub struct Services {
    /// The way to the log.
    pub commands: Arc<Commands>,
    /// The read side.
    pub database: Database,
    /// Where bytes live.
    pub storage: Storage,
    /// Who may ask, and how much.
    pub directory: Arc<CredentialStore>,
    /// Who signed what the audit trail rests on.
    pub notary: Notary,
    /// Where requests of ours may go.
    pub egress: EgressConfig,
    /// What waits to be handed out.
    pub vault: Vault,
}

/// What every request may use.
#[derive(Debug)]
pub struct Gateway {
    pub(crate) commands: Arc<Commands>,
    pub(crate) database: Database,
    pub(crate) storage: Storage,
    pub(crate) directory: Arc<CredentialStore>,
    pub(crate) audit: Audit,
    pub(crate) notary: Notary,
    pub(crate) egress: EgressConfig,
    pub(crate) vault: Vault,
    pub(crate) buckets: RateLimiter,
    pub(crate) rooms: QueueSlots,
    pub(crate) holds: Holds,
    pub(crate) endpoint_limits: BTreeMap<String, u64>,
    pub(crate) issuer: Option<Issuer>,
    pub(crate) scanner: Option<ScannerConfig>,
    pub(crate) look: LookConfig,
    pub(crate) proxies: Proxies,
    pub(crate) cors_origins: Vec<String>,
    pub(crate) strangers: AnonymousRateLimiter,
    pub(crate) live: PubSub,
    pub(crate) lines: JobLogs,
    pub(crate) idempotency: Idempotency,
    pub(crate) positions: Positions,
    pub(crate) hub: EventBus,
    pub(crate) progress: ProgressBoard,
    pub(crate) rows: RowCache<JobId, JobView>,
    /// By owner and name.
    pub(crate) presets: RowCache<(String, String), PresetState>,
    /// What files are, by tenant and SHA-256: what is in a file never changes, and how fast that is known
    /// tells nobody what others have.
    pub(crate) probes: RowCache<(Tenant, String), serde_json::Value>,
    pub(crate) workers: Mutex<Workers>,
    pub(crate) max_upload: u64,
}

/// Who was heard of, as told by themselves.
pub(crate) type Workers = BTreeMap<String, (std::time::Instant, serde_json::Value)>;

const GONE: std::time::Duration = std::time::Duration::from_secs(6);

impl Gateway {
    pub(crate) fn new(services: Services, config: &GatewayConfig, issuer: Option<Issuer>) -> Self {
        let Services { commands, database, storage, directory, notary, egress, vault } = services;
        let nats = commands.log().nats().clone();
        Self {
            live: PubSub::new(nats.clone()),
            lines: JobLogs::new(nats.clone()),
            idempotency: Idempotency::new(nats.clone()),
            positions: Positions::default(),
            hub: EventBus::default(),
            progress: ProgressBoard::default(),
            rows: RowCache::closed(),
            presets: RowCache::new(),
            probes: RowCache::new(),
            workers: Mutex::default(),
            commands,
            database,
            storage,
            directory,
            audit: Audit::new(),
            notary,
            egress,
            vault,
            buckets: RateLimiter::new(QuotaCounter::new(nats)),
            rooms: QueueSlots::default(),
            holds: Holds::default(),
            endpoint_limits: config.endpoint_limits.clone(),
            issuer,
            scanner: config.scanner.clone(),
            look: config.look.clone(),
            proxies: Proxies::new(config.trusted_proxies.clone(), config.proxy_header),
            cors_origins: config.cors_origins.clone(),
            strangers: AnonymousRateLimiter::new(config.strangers_per_minute),
            max_upload: config.max_upload,
        }
    }

    /// The workers heard of lately.
    pub(crate) fn present(&self) -> Vec<serde_json::Value> {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        workers.retain(|_, (at, _)| at.elapsed() < GONE);
        workers.values().map(|(_, presence)| presence.clone()).collect()
    }

    /// What the workers together can do; everything we know of while none is heard.
    pub(crate) fn capabilities(&self) -> Option<Capabilities> {
        self.present()
            .into_iter()
            .filter_map(|mut p| serde_json::from_value(p.get_mut("capabilities")?.take()).ok())
            .reduce(|all: Capabilities, one| all.union(&one))
    }

    /// One job as the log has it this moment, and where its newest event stands.
    pub(crate) async fn job_in_log(
        &self,
        tenant: &Tenant,
        id: JobId,
    ) -> Result<Option<(JobView, Position)>, Problem> {
        let history = self.commands.history::<Job>(tenant.as_str(), &id.to_string()).await?;
        let mut found = None;
        let mut position =
            Position { epoch: self.commands.log().identity().epoch, ..Position::default() };
        for (sequence, decision) in &history {
            let at = Timestamp::from_millis(decision.at);
            let meta = Recorded { id, tenant: tenant.clone(), at };
            found =
                decision.events.iter().fold(found, |row, event| JobView::apply(row, event, &meta));
            position.sequence = *sequence;
            position.index =
                u32::try_from(decision.events.len().saturating_sub(1)).unwrap_or(u32::MAX);
        }
        Ok(found.map(|job| (job, position)))
    }
}

/// The course of things that a request begins.
pub(crate) fn caller(principal: &Principal, request: &poem::Request) -> Caller {
    Caller {
        actor: Actor::Key(principal.key.to_string()),
        correlation_id: Uuid::now_v7(),
        causation: request
            .data::<crate::response_middleware::RequestId>()
            .map(|id| format!("request {}", id.0)),
        traceparent: request.header("traceparent").and_then(trace::parent).map(str::to_owned),
        address: principal.address.map(|address| Personal::Clear(address.to_string())),
    }
}
