//! `ffapi up`: every role in one process, with a private NATS and Postgres as children.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::Duration,
};

use anyhow::Context;
use commands::Caller;
use domain::{
    KeyId, Personal, Tenant,
    key::{Key, KeyCommand, Scope},
};
use embedded::{NatsServer, Postgres};
use gateway::mint;
use nats::{Nats, NatsConfig, topology};
use projections::PostgresConfig;
use uuid::Uuid;

use crate::{
    config::{Config, Secrets},
    roles::{self, Ground, Role},
};

/// The tenant of the first key.
const FIRST_TENANT: &str = "default";

/// Runs until Ctrl-C.
#[expect(clippy::print_stderr, reason = "a command line speaks to its user")]
pub(crate) async fn up(
    mut config: Config,
    data_dir: &Path,
    listen: Option<String>,
) -> anyhow::Result<()> {
    fs::create_dir_all(data_dir).with_context(|| format!("{}", data_dir.display()))?;
    let data_dir = data_dir.canonicalize()?;
    let lock = File::create(data_dir.join("lock"))?;
    lock.try_lock()
        .with_context(|| format!("another `ffapi up` is running in {}", data_dir.display()))?;
    let stop = roles::stop_on_signal()?;

    // Started here, on the main thread: they end when it does.
    let mut nats = NatsServer::start(&data_dir.join("nats")).context("nats-server")?;
    let mut postgres = Postgres::start(&data_dir).context("postgres")?;
    config.nats = Some(NatsConfig { url: nats.url() });
    let max_connections = config.postgres.as_ref().map_or(16, |given| given.max_connections);
    config.postgres = Some(PostgresConfig { url: postgres.url(), max_connections });
    config.secrets = secrets(&data_dir)?;
    config.storage.root = data_dir.join("storage");
    if let Some(listen) = listen {
        config.gateway.listen = listen;
    }

    let client = Nats::connect(&NatsConfig { url: nats.url() }).await?;
    topology::apply(&client).await?;
    client.close().await;
    let ground = Ground::new(&config).await?;
    ground.database.migrate().await?;
    first_key(&ground, &data_dir).await?;

    let all = [Role::Projector, Role::Conductor, Role::Worker, Role::Gateway];
    let told =
        |address| eprintln!("ffapi is up: http://{address} (docs at /docs); Ctrl-C stops it");
    tokio::select! {
        outcome = roles::run(&config, &ground, &all, &stop, told) => outcome,
        // In this very task, so on this very thread, for the reason given above.
        never = supervise(&mut nats, &mut postgres) => match never {},
    }
}

/// Brings a server that died back, with its data.
async fn supervise(nats: &mut NatsServer, postgres: &mut Postgres) -> Infallible {
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        if !nats.is_running() {
            let outcome = nats.restart();
            tracing::warn!(?outcome, "nats-server died and was started again");
        }
        if !postgres.is_running() {
            let outcome = postgres.restart();
            tracing::warn!(?outcome, "postgres died and was started again");
        }
    }
}

/// The data folder's own secrets, made at first.
fn secrets(data_dir: &Path) -> anyhow::Result<Secrets> {
    let path = data_dir.join("secrets.json");
    if !path.exists() {
        let made = Secrets { master_key: hex::encode(random()?), pepper: hex::encode(random()?) };
        // Whole or not at all: half a secret would lock the data away.
        let draft = data_dir.join("secrets.json.new");
        write_private(&draft, &serde_json::to_string(&made)?)?;
        fs::rename(draft, &path)?;
    }
    Ok(serde_json::from_str(&fs::read_to_string(path)?)?)
}

fn random() -> anyhow::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    Ok(())
}

/// Makes the first admin key, prints it once and writes it down.
///
/// Written down before it is in the log: a crash between the two leaves a file that the next start
/// replaces, never a key that nobody knows.
#[expect(clippy::print_stdout, reason = "the key is shown to its user")]
async fn first_key(ground: &Ground, data_dir: &Path) -> anyhow::Result<()> {
    let log = ground.commands.log();
    let last = log.last_sequence().await?;
    if !log.load_matching("ev.key.>", last).await?.is_empty() {
        return Ok(());
    }
    let id = KeyId::from_uuid(Uuid::now_v7());
    let minted = mint(&ground.pepper, id, random()?);
    let path = data_dir.join("admin.key");
    write_private(&path, &format!("{}\n", minted.secret))?;
    let tenant: Tenant = FIRST_TENANT.parse()?;
    let command = KeyCommand::Create {
        name: Personal::Clear("first admin key".to_owned()),
        hash: minted.hash,
        pepper_version: minted.pepper_version,
        scopes: BTreeSet::from([Scope::Admin, Scope::JobsRead, Scope::JobsWrite]),
    };
    let caller = Caller::process("up");
    let id = id.to_string();
    let made = ground.commands.handle::<Key>(tenant.as_str(), &id, &caller, command);
    made.await.context("the first key")?;
    println!("first admin key (also in {}): {}", path.display(), minted.secret);
    Ok(())
}
