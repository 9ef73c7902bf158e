use std::{collections::BTreeMap, sync::Arc};

use ffapi_commands::Commands;
use ffapi_domain::retention::RetentionPeriods;
use ffapi_nats::{Idempotency, JobLogs, PubSub, QuotaCounter, Vault};
use ffapi_projections::{AnchorVerifier, Database};
use ffapi_storage::{EgressConfig, Storage};

use crate::{
    CredentialStore, GatewayConfig, InspectionConfig, ScannerConfig,
    audit_notes::Audit,
    auth::{AnonymousRateLimiter, Issuer, Proxies},
    caches::Caches,
    cors::CorsPolicy,
    database_answers::DatabaseAnswers,
    event_bus::EventBus,
    live_workers::LiveWorkers,
    prices::PriceTable,
    progress::ProgressBoard,
    queue_slots::QueueSlots,
    rate_limits::RateLimiter,
    read_models::ReadModels,
    storage_holds::StorageHolds,
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
    pub credentials: Arc<CredentialStore>,
    /// Verifies the signed anchors of the audit trail.
    pub anchor_verifier: AnchorVerifier,
    /// Networks that outgoing requests may connect to.
    pub egress: EgressConfig,
    /// Encrypted secrets: of webhooks, and those of rotated keys until they are collected.
    pub vault: Vault,
    /// How long files are kept, as the conductor is configured.
    pub retention: RetentionPeriods,
}

/// What requests use: each part owns what it depends on. Nothing that is a part of it uses it.
#[derive(Debug)]
pub struct Gateway {
    pub(crate) commands: Arc<Commands>,
    pub(crate) database: Database,
    pub(crate) storage: Storage,
    pub(crate) credentials: Arc<CredentialStore>,
    pub(crate) audit: Audit,
    pub(crate) anchor_verifier: AnchorVerifier,
    pub(crate) egress: EgressConfig,
    pub(crate) vault: Vault,
    pub(crate) retention: RetentionPeriods,
    pub(crate) rate_limiter: Arc<RateLimiter>,
    pub(crate) queue_slots: QueueSlots,
    pub(crate) storage_holds: Arc<StorageHolds>,
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
    pub(crate) reads: ReadModels,
    pub(crate) event_bus: EventBus,
    pub(crate) progress: ProgressBoard,
    pub(crate) caches: Caches,
    pub(crate) workers: LiveWorkers,
    pub(crate) max_upload: u64,
    pub(crate) prices: Option<PriceTable>,
    pub(crate) database_answers: DatabaseAnswers,
}

impl Gateway {
    pub(crate) fn new(services: Services, config: &GatewayConfig, issuer: Option<Issuer>) -> Self {
        let Services {
            commands,
            database,
            storage,
            credentials,
            anchor_verifier,
            egress,
            vault,
            retention,
        } = services;
        let nats = commands.log().nats().clone();
        let pubsub = PubSub::new(nats.clone());
        let queue_slots =
            QueueSlots::new(Arc::clone(&commands), Arc::clone(&credentials), pubsub.clone());
        let storage_holds = StorageHolds::new(Arc::clone(&commands), Arc::clone(&credentials));
        Self {
            job_logs: JobLogs::new(nats.clone()),
            idempotency: Idempotency::new(nats.clone()),
            reads: ReadModels::new(Arc::clone(&commands), database.clone(), config.consistency),
            event_bus: EventBus::default(),
            progress: ProgressBoard::default(),
            caches: Caches::default(),
            workers: LiveWorkers::default(),
            queue_slots,
            storage_holds: Arc::new(storage_holds),
            audit: Audit::new(),
            rate_limiter: Arc::new(RateLimiter::new(QuotaCounter::new(nats))),
            endpoint_limits: config.endpoint_limits.clone(),
            scanner: config.scanner.clone(),
            inspection: config.inspection.clone(),
            proxies: Proxies::new(config.trusted_proxies.clone(), config.proxy_header),
            cors: CorsPolicy::new(&config.cors_origins),
            anonymous_limiter: AnonymousRateLimiter::new(config.anonymous_per_minute),
            max_upload: config.max_upload,
            prices: config.prices.clone(),
            database_answers: DatabaseAnswers::default(),
            pubsub,
            commands,
            database,
            storage,
            credentials,
            anchor_verifier,
            egress,
            vault,
            retention,
            issuer,
        }
    }
}
