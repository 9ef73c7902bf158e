//! The roles, which run in one process or in separate ones with the same code.

use std::{future::Future, pin::Pin, sync::Arc};

use anyhow::Context;
use ffapi_commands::Commands;
use ffapi_gateway::{CredentialStore, Server, Services};
use ffapi_nats::{Codec, Log, Nats, Vault, topology};
use ffapi_projections::{
    Archive, AuditDecisions, AuditNotes, BatchList, Database, JobDetail, JobList, Pace, Presets,
    Projection, Queue, Replays, Runner, Uploads, Usage, Webhooks,
};
use ffapi_storage::{Egress, RetryPolicy, Storage};
use ffapi_workers::{Conductor, InputFetcher, Lifetime, Retention, Sender, Worker};
use tokio::{signal::unix, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    arguments::TopologyVerb, backup, child, config::Config, keyring::Secret, metrics::Metrics,
    rotation, service_manager, telemetry::Telemetry,
};

/// A role of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Gateway,
    Projector,
    Conductor,
    Worker(Lifetime),
}

impl Role {
    /// The secrets that it needs; a process with this role alone reads no others.
    pub(crate) const fn secrets(self) -> &'static [Secret] {
        match self {
            // It hashes the secrets of keys, and verifies the signatures of the audit trail.
            Self::Gateway => &[Secret::Master, Secret::Pepper, Secret::Verifying],
            Self::Projector => &[Secret::Master, Secret::Signing],
            Self::Conductor | Self::Worker(_) => &[Secret::Master],
        }
    }

    /// The name of a process with this role alone, in its telemetry.
    const fn service(self) -> &'static str {
        match self {
            Self::Gateway => "ffapi-gateway",
            Self::Projector => "ffapi-projector",
            Self::Conductor => "ffapi-conductor",
            Self::Worker(_) => "ffapi-worker",
        }
    }
}

/// What every role needs. All of them decrypt personal fields, so all have the master key.
pub(crate) struct AppContext {
    pub(crate) commands: Arc<Commands>,
    pub(crate) database: Database,
    /// The same database, with connections of its own for the requests of clients.
    pub(crate) requests: Database,
    pub(crate) vault: Vault,
}

impl AppContext {
    pub(crate) async fn new(config: &Config) -> anyhow::Result<Self> {
        let nats = connect(config).await?;
        let (database, requests) = databases(config)?;
        let vault = Vault::open_with(&nats, &config.secrets.master()?).await?;
        let codec = Codec::new(vault.clone());
        let log = Log::open(nats).await?;
        Ok(Self { commands: Arc::new(Commands::new(log, codec)), database, requests, vault })
    }

    /// The connection to the log.
    pub(crate) fn nats(&self) -> &Nats {
        self.commands.log().nats()
    }
}

pub(crate) async fn connect(config: &Config) -> anyhow::Result<Nats> {
    let nats = config.nats.as_ref().context("nats.url is not set (FFAPI_NATS__URL)")?;
    Nats::connect(nats).await.with_context(|| format!("NATS at {}", nats.shown()))
}

/// The connections of background work, and those of requests.
pub(crate) fn databases(config: &Config) -> anyhow::Result<(Database, Database)> {
    let postgres = config.postgres.as_ref();
    let postgres = postgres.context("postgres.url is not set (FFAPI_POSTGRES__URL)")?;
    Ok((Database::connect(postgres)?, Database::connect_for_requests(postgres)?))
}

/// A token that is cancelled on Ctrl-C or SIGTERM.
pub(crate) fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let token = stop.clone();
    let mut terminate = unix::signal(unix::SignalKind::terminate())?;
    let mut interrupt = unix::signal(unix::SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        token.cancel();
    });
    Ok(stop)
}

type Running = Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;

/// Runs roles until `stop` is cancelled; the first failure stops them all.
pub(crate) async fn run(
    config: &Config,
    context: &AppContext,
    roles: &[Role],
    stop: &CancellationToken,
    on_listen: impl FnOnce(std::net::SocketAddr),
) -> anyhow::Result<()> {
    let mut running: JoinSet<anyhow::Result<()>> = JoinSet::new();
    let mut on_listen = Some(on_listen);
    for role in roles {
        for task in start(config, context, *role, stop, &mut on_listen).await? {
            running.spawn(task);
        }
    }
    // A gateway is ready a little later, once it knows all keys.
    if !roles.contains(&Role::Gateway) {
        service_manager::notify_ready();
    }
    let mut outcome = Ok(());
    while let Some(ended) = running.join_next().await {
        let ended = ended.context("a role panicked").and_then(|result| result);
        // Logged at once, because the end of the other roles may take a while.
        match &ended {
            Ok(()) => tracing::debug!("a role ended"),
            Err(error) => tracing::error!(error = format!("{error:#}"), "a role failed"),
        }
        if ended.is_err() && outcome.is_ok() {
            outcome = ended;
        }
        stop.cancel();
    }
    context.commands.log().nats().close().await;
    outcome
}

async fn start(
    config: &Config,
    context: &AppContext,
    role: Role,
    stop: &CancellationToken,
    on_listen: &mut Option<impl FnOnce(std::net::SocketAddr)>,
) -> anyhow::Result<Vec<Running>> {
    let (commands, stop) = (Arc::clone(&context.commands), stop.clone());
    let (log, codec) = (commands.log().clone(), commands.codec().clone());
    Ok(match role {
        Role::Gateway => {
            let max_lag = config.gateway.max_key_lag;
            let directory =
                CredentialStore::new(config.secrets.peppers()?, config.tiers.clone(), max_lag);
            let directory = Arc::new(directory);
            let known = Arc::clone(&directory);
            let following = {
                let (directory, stop) = (Arc::clone(&directory), stop.clone());
                async move { Ok(directory.follow(&log, &codec, &stop).await?) }
            };
            let services = Services {
                commands,
                database: context.requests.clone(),
                storage: storage(config, RetryPolicy::Request)?,
                credentials: directory,
                anchor_verifier: config.secrets.verifier(context.nats())?,
                egress: config.egress.clone(),
                vault: context.vault.clone(),
                retention: config.retention.periods(),
            };
            let server = Server::bind(&config.gateway, services).await?;
            if let Some(on_listen) = on_listen.take() {
                on_listen(server.address());
            }
            let serving = async move {
                // No key is rejected only because it is not loaded yet.
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    () = known.ready() => service_manager::notify_ready(),
                }
                Ok(server.run(&stop).await?)
            };
            vec![Box::pin(following), Box::pin(serving)]
        }
        Role::Projector => {
            vec![
                follow(context, JobDetail, &stop),
                follow(context, JobList, &stop),
                follow(context, BatchList, &stop),
                follow(context, Queue, &stop),
                follow(context, Pace, &stop),
                follow(context, Presets, &stop),
                follow(context, Uploads, &stop),
                follow(context, Usage, &stop),
                follow(context, Webhooks::new(log.clone()), &stop),
                follow(context, Archive, &stop),
                follow(context, AuditDecisions, &stop),
                follow_in(context, log.notes(), AuditNotes, &stop),
                sign_anchors(config, context, &stop)?,
                replay(context, &stop),
                watch_lag(context, &stop),
            ]
        }
        Role::Conductor => {
            let conductor = Conductor::new(commands, config.tiers.clone(), &config.scheduling);
            let sender = Sender::new(
                Arc::clone(&context.commands),
                context.database.clone(),
                context.vault.clone(),
                egress(config)?,
                config.webhooks.clone(),
            );
            let (stop_sending, stop_removing) = (stop.clone(), stop.clone());
            let stop_backups = stop.clone();
            let retention = Retention::new(
                Arc::clone(&context.commands),
                context.database.clone(),
                storage(config, RetryPolicy::Work)?,
                config.retention.clone(),
            );
            let mut running: Vec<Running> = vec![
                Box::pin(async move { Ok(retention.run(&stop_removing).await?) }),
                Box::pin(async move { Ok(conductor.run(&stop).await?) }),
                Box::pin(async move { Ok(sender.run(&stop_sending).await?) }),
            ];
            running.extend(make_backups(config, context, stop_backups)?);
            running
        }
        Role::Worker(lifetime) => {
            // On the same disk as the storage, so that files are linked and not copied.
            let folder = config.storage.root.join(".work");
            let child = child::command(config.worker.sandbox)?;
            let sources = InputFetcher {
                storage: storage(config, RetryPolicy::Work)?,
                egress: egress(config)?,
                tiers: config.tiers.clone(),
            };
            let worker = Worker::prepare(commands, sources, &config.worker, &folder, child).await?;
            vec![Box::pin(async move {
                worker.run(lifetime, &stop).await;
                Ok(())
            })]
        }
    })
}

/// The client for all outgoing requests.
fn egress(config: &Config) -> anyhow::Result<Egress> {
    Egress::new(&config.egress).map_err(|error| anyhow::anyhow!(error)).context("egress")
}

/// The storage of uploads and outputs.
pub(crate) fn storage(config: &Config, retry_policy: RetryPolicy) -> anyhow::Result<Storage> {
    let root = &config.storage.root;
    Storage::configured(&config.storage, &config.stores, retry_policy)
        .with_context(|| format!("storage (storage.root is {})", root.display()))
}

/// Runs a read model on the event log.
fn follow<P: Projection + 'static>(
    context: &AppContext,
    projection: P,
    stop: &CancellationToken,
) -> Running {
    follow_in(context, context.commands.log().clone(), projection, stop)
}

/// Makes backups periodically, if a store is configured for them.
fn make_backups(
    config: &Config,
    context: &AppContext,
    stop: CancellationToken,
) -> anyhow::Result<Option<Running>> {
    let Some(schedule) = backup::schedule(config)? else { return Ok(None) };
    let (nats, database) = (context.nats().clone(), context.database.clone());
    Ok(Some(Box::pin(async move {
        schedule.run(&nats, &database, &stop).await;
        Ok(())
    })))
}

/// Signs the archive periodically.
fn sign_anchors(
    config: &Config,
    context: &AppContext,
    stop: &CancellationToken,
) -> anyhow::Result<Running> {
    let signer = config.secrets.signer(context.nats())?;
    let (database, stop) = (context.database.clone(), stop.clone());
    Ok(Box::pin(async move {
        signer.run(&database, &stop).await;
        Ok(())
    }))
}

/// Shows in metrics how far the read models are behind.
fn watch_lag(context: &AppContext, stop: &CancellationToken) -> Running {
    let (database, log) = (context.database.clone(), context.commands.log().clone());
    let stop = stop.clone();
    Box::pin(async move {
        ffapi_projections::watch_lag(&database, &log, &stop).await;
        Ok(())
    })
}

/// Runs webhook replays.
fn replay(context: &AppContext, stop: &CancellationToken) -> Running {
    let (log, codec) = (context.commands.log().clone(), context.commands.codec().clone());
    let (replays, stop) = (Replays::new(context.database.clone(), log, codec), stop.clone());
    Box::pin(async move {
        replays.run(&stop).await;
        Ok(())
    })
}

/// Runs a read model on the given log.
fn follow_in<P: Projection + 'static>(
    context: &AppContext,
    log: Log,
    projection: P,
    stop: &CancellationToken,
) -> Running {
    let codec = context.commands.codec().clone();
    let runner = Runner::new(context.database.clone(), log, codec, projection);
    let stop = stop.clone();
    Box::pin(async move { Ok(runner.run(&stop).await?) })
}

/// Runs one role alone.
#[expect(clippy::print_stderr, reason = "a command line speaks to its user")]
pub(crate) async fn alone(config: &Config, role: Role) -> anyhow::Result<()> {
    let telemetry = Telemetry::start(&config.log, role.service())?;
    let metrics = Metrics::start(&config.metrics, role.service()).await?;
    if let Some(address) = metrics.address() {
        eprintln!("metrics on http://{address}/metrics");
    }
    let stop = stop_on_signal()?;
    let _notifying = service_manager::follow(&stop);
    let context = AppContext::new(config).await?;
    let on_listen = |address| eprintln!("serving on http://{address}");
    let roles = [role];
    let outcome = tokio::select! {
        outcome = Box::pin(run(config, &context, &roles, &stop, on_listen)) => outcome,
        never = Box::pin(rotation::follow(config, &context)) => match never {},
        never = Box::pin(telemetry.follow(config)) => match never {},
    };
    metrics.stop().await;
    telemetry.stop().await;
    outcome
}

#[expect(clippy::print_stdout, reason = "a command line speaks to its user")]
pub(crate) async fn migrate(config: &Config) -> anyhow::Result<()> {
    databases(config)?.0.migrate().await?;
    println!("the database is up to date");
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a command line speaks to its user")]
pub(crate) async fn topology(config: &Config, verb: &TopologyVerb) -> anyhow::Result<()> {
    let nats = connect(config).await?;
    let identity = match verb {
        TopologyVerb::Apply { replicas: None } => topology::apply(&nats).await?,
        TopologyVerb::Apply { replicas: Some(replicas) } => {
            topology::apply_replicated(&nats, usize::from(*replicas)).await?
        }
        TopologyVerb::Check => topology::check(&nats).await?,
    };
    println!("the streams are up to date; log {} epoch {}", identity.log_id, identity.epoch);
    Ok(())
}
