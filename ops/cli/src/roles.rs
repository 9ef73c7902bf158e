//! The roles, together or apart: the same code either way.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use anyhow::Context;
use ffapi_commands::Commands;
use ffapi_gateway::{CredentialStore, Server, Services};
use ffapi_nats::{Codec, Log, Nats, Vault, topology};
use ffapi_projections::{
    Archive, AuditDecisions, AuditNotes, BatchList, Database, JobDetail, JobList, Pace, Presets,
    Projection, Queue, Replays, Runner, Webhooks,
};
use ffapi_storage::{Egress, Storage};
use ffapi_workers::{Conductor, InputFetcher, Retention, Sender, Worker};
use tokio::{signal::unix, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{arguments::TopologyVerb, child, config::Config, keyring::Secret, rotation, telemetry};

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Gateway,
    Projector,
    Conductor,
    Worker,
}

impl Role {
    /// The secrets that it works with; no other is read by a process that has this role alone.
    pub(crate) const fn secrets(self) -> &'static [Secret] {
        match self {
            // It hashes what keys show, and looks whether the audit trail's signatures hold.
            Self::Gateway => &[Secret::Master, Secret::Pepper, Secret::Verifying],
            Self::Projector => &[Secret::Master, Secret::Signing],
            Self::Conductor | Self::Worker => &[Secret::Master],
        }
    }
}

/// What every role stands on: personal fields are opened by each, so each has the master key.
pub(crate) struct Ground {
    pub(crate) commands: Arc<Commands>,
    pub(crate) database: Database,
    pub(crate) vault: Vault,
}

impl Ground {
    pub(crate) async fn new(config: &Config) -> anyhow::Result<Self> {
        let nats = connect(config).await?;
        let database = database(config)?;
        let vault = Vault::open(&nats, &config.secrets.master()?).await?;
        let codec = Codec::new(vault.clone());
        let log = Log::open(nats).await?;
        Ok(Self { commands: Arc::new(Commands::new(log, codec)), database, vault })
    }

    /// The connection to the log.
    pub(crate) fn nats(&self) -> &Nats {
        self.commands.log().nats()
    }
}

async fn connect(config: &Config) -> anyhow::Result<Nats> {
    let nats = config.nats.as_ref().context("nats.url is not set (FFAPI_NATS__URL)")?;
    Nats::connect(nats).await.with_context(|| format!("NATS at {}", nats.shown()))
}

fn database(config: &Config) -> anyhow::Result<Database> {
    let postgres = config.postgres.as_ref();
    let postgres = postgres.context("postgres.url is not set (FFAPI_POSTGRES__URL)")?;
    Ok(Database::connect(postgres)?)
}

/// Ends the process' work on Ctrl-C or SIGTERM.
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

/// Runs roles until told to stop; the first that fails ends them all.
pub(crate) async fn run(
    config: &Config,
    ground: &Ground,
    roles: &[Role],
    stop: &CancellationToken,
    told: impl FnOnce(std::net::SocketAddr),
) -> anyhow::Result<()> {
    let mut running: JoinSet<anyhow::Result<()>> = JoinSet::new();
    let mut told = Some(told);
    for role in roles {
        for task in start(config, ground, *role, stop, &mut told).await? {
            running.spawn(task);
        }
    }
    let mut outcome = Ok(());
    while let Some(ended) = running.join_next().await {
        let ended = ended.context("a role panicked").and_then(|result| result);
        if ended.is_err() && outcome.is_ok() {
            outcome = ended;
        }
        stop.cancel();
    }
    ground.commands.log().nats().close().await;
    outcome
}

async fn start(
    config: &Config,
    ground: &Ground,
    role: Role,
    stop: &CancellationToken,
    told: &mut Option<impl FnOnce(std::net::SocketAddr)>,
) -> anyhow::Result<Vec<Running>> {
    let (commands, stop) = (Arc::clone(&ground.commands), stop.clone());
    let (log, codec) = (commands.log().clone(), commands.codec().clone());
    Ok(match role {
        Role::Gateway => {
            let patience = Duration::from_millis(config.gateway.max_key_lag);
            let directory =
                CredentialStore::new(config.secrets.pepper()?, config.tiers.clone(), patience);
            let directory = Arc::new(directory);
            let known = Arc::clone(&directory);
            let following = {
                let (directory, stop) = (Arc::clone(&directory), stop.clone());
                async move { Ok(directory.follow(&log, &codec, &stop).await?) }
            };
            let services = Services {
                commands,
                database: ground.database.clone(),
                storage: storage(config)?,
                directory,
                notary: config.secrets.notary(ground.nats())?,
                egress: config.egress.clone(),
                vault: ground.vault.clone(),
            };
            let server = Server::bind(&config.gateway, services).await?;
            if let Some(told) = told.take() {
                told(server.address());
            }
            let serving = async move {
                // Nobody is turned away for want of a key that is only not read yet.
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    () = known.ready() => {}
                }
                Ok(server.run(&stop).await?)
            };
            vec![Box::pin(following), Box::pin(serving)]
        }
        Role::Projector => {
            vec![
                follow(ground, JobDetail, &stop),
                follow(ground, JobList, &stop),
                follow(ground, BatchList, &stop),
                follow(ground, Queue, &stop),
                follow(ground, Pace, &stop),
                follow(ground, Presets, &stop),
                follow(ground, Webhooks::new(log.clone()), &stop),
                follow(ground, Archive, &stop),
                follow(ground, AuditDecisions, &stop),
                follow_in(ground, log.notes(), AuditNotes, &stop),
                notarize(config, ground, &stop)?,
                replay(ground, &stop),
            ]
        }
        Role::Conductor => {
            let conductor = Conductor::new(commands, config.tiers.clone(), &config.scheduling);
            let sender = Sender::new(
                Arc::clone(&ground.commands),
                ground.database.clone(),
                ground.vault.clone(),
                egress(config)?,
                config.webhooks.clone(),
            );
            let (stop_sending, stop_removing) = (stop.clone(), stop.clone());
            let retention = Retention::new(
                Arc::clone(&ground.commands),
                ground.database.clone(),
                storage(config)?,
                config.retention.clone(),
            );
            vec![
                Box::pin(async move { Ok(retention.run(&stop_removing).await?) }),
                Box::pin(async move { Ok(conductor.run(&stop).await?) }),
                Box::pin(async move { Ok(sender.run(&stop_sending).await?) }),
            ]
        }
        Role::Worker => {
            // On the storage's disk, so that inputs and outputs are linked and not copied.
            let folder = config.storage.root.join(".work");
            let child = child::command(config.worker.sandbox)?;
            let sources = InputFetcher {
                storage: storage(config)?,
                egress: egress(config)?,
                tiers: config.tiers.clone(),
            };
            let worker = Worker::prepare(commands, sources, &config.worker, &folder, child).await?;
            vec![Box::pin(async move {
                worker.run(&stop).await;
                Ok(())
            })]
        }
    })
}

/// The one way out.
fn egress(config: &Config) -> anyhow::Result<Egress> {
    Egress::new(&config.egress).map_err(|error| anyhow::anyhow!(error)).context("egress")
}

/// Where bytes live.
fn storage(config: &Config) -> anyhow::Result<Storage> {
    let root = &config.storage.root;
    Storage::open(root).with_context(|| format!("storage.root {}", root.display()))
}

/// One read model's runner, over the log.
fn follow<P: Projection + 'static>(
    ground: &Ground,
    projection: P,
    stop: &CancellationToken,
) -> Running {
    follow_in(ground, ground.commands.log().clone(), projection, stop)
}

/// Signs what the archive holds, every so often.
fn notarize(config: &Config, ground: &Ground, stop: &CancellationToken) -> anyhow::Result<Running> {
    let signer = config.secrets.signer(ground.nats())?;
    let (database, stop) = (ground.database.clone(), stop.clone());
    Ok(Box::pin(async move {
        signer.run(&database, &stop).await;
        Ok(())
    }))
}

/// Sends once more what somebody asked for.
fn replay(ground: &Ground, stop: &CancellationToken) -> Running {
    let (log, codec) = (ground.commands.log().clone(), ground.commands.codec().clone());
    let (replays, stop) = (Replays::new(ground.database.clone(), log, codec), stop.clone());
    Box::pin(async move {
        replays.run(&stop).await;
        Ok(())
    })
}

/// One read model's runner.
fn follow_in<P: Projection + 'static>(
    ground: &Ground,
    log: Log,
    projection: P,
    stop: &CancellationToken,
) -> Running {
    let codec = ground.commands.codec().clone();
    let runner = Runner::new(ground.database.clone(), log, codec, projection);
    let stop = stop.clone();
    Box::pin(async move { Ok(runner.run(&stop).await?) })
}

/// Runs one role alone.
#[expect(clippy::print_stderr, reason = "a command line speaks to its user")]
pub(crate) async fn alone(config: &Config, role: Role) -> anyhow::Result<()> {
    telemetry::start(&config.log);
    let stop = stop_on_signal()?;
    let ground = Ground::new(config).await?;
    let told = |address| eprintln!("serving on http://{address}");
    let roles = [role];
    tokio::select! {
        outcome = Box::pin(run(config, &ground, &roles, &stop, told)) => outcome,
        never = Box::pin(rotation::follow(config, &ground)) => match never {},
    }
}

#[expect(clippy::print_stdout, reason = "a command line speaks to its user")]
pub(crate) async fn migrate(config: &Config) -> anyhow::Result<()> {
    database(config)?.migrate().await?;
    println!("the database is up to date");
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a command line speaks to its user")]
pub(crate) async fn topology(config: &Config, verb: &TopologyVerb) -> anyhow::Result<()> {
    let nats = connect(config).await?;
    let identity = match verb {
        TopologyVerb::Apply => topology::apply(&nats).await?,
        TopologyVerb::Check => topology::check(&nats).await?,
    };
    println!("the streams are as wanted; log {} epoch {}", identity.log_id, identity.epoch);
    Ok(())
}
