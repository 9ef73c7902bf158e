//! `ffapi up`: every role in one process, with a private NATS and Postgres as children.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    fs::{self, File},
    net::TcpListener,
    path::Path,
    time::Duration,
};

use anyhow::Context;
use ffapi_domain::{account::Tier, key::Scope};
use ffapi_embedded::{NatsServer, Postgres, private};
use ffapi_nats::{Nats, NatsConfig, topology};
use ffapi_projections::PostgresConfig;
use serde_json::json;

use crate::{
    config::Config,
    keyring::{Secret, Secrets},
    keys,
    nats_users::NatsUsers,
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
    private::folder(data_dir).with_context(|| format!("{}", data_dir.display()))?;
    let data_dir = data_dir.canonicalize()?;
    let lock = File::create(data_dir.join("lock"))?;
    lock.try_lock()
        .with_context(|| format!("another `ffapi up` is running in {}", data_dir.display()))?;
    let stop = roles::stop_on_signal()?;

    if let Some(listen) = listen {
        config.gateway.listen = listen;
    }
    let listen = &config.gateway.listen;
    // Bound while the servers choose their ports, so that none of them takes it.
    let bound = TcpListener::bind(listen).with_context(|| {
        format!("{listen} cannot be listened on; is something else running there?")
    })?;
    // Started here, on the main thread: they end when it does.
    let users = NatsUsers::of(&data_dir.join("nats"))?;
    let nats = NatsServer::start_with(&data_dir.join("nats"), &users.configuration());
    let mut nats = nats.context("nats-server")?;
    let mut postgres = Postgres::start(&data_dir).context("postgres")?;
    // Every role is in this one process, which so is who runs the service.
    let url = users.url(&nats.url(), "operator")?;
    config.nats = Some(NatsConfig { url: url.clone() });
    let max_connections = config.postgres.as_ref().map_or(16, |given| given.max_connections);
    config.postgres = Some(PostgresConfig { url: postgres.url(), max_connections });
    config.secrets = secrets(&data_dir)?;
    config.secrets.derive(&Secret::ALL);
    config.storage.root = data_dir.join("storage");
    drop(bound);

    let client = Nats::connect(&NatsConfig { url }).await?;
    topology::apply(&client).await?;
    client.close().await;
    let ground = Ground::new(&config).await?;
    ground.database.migrate().await?;
    first_key(&config, &ground, &data_dir).await?;

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
        let made = Secrets { master_key: hex::encode(keys::random()?), ..Secrets::default() };
        let made = Secrets { pepper: hex::encode(keys::random()?), ..made };
        keep(&path, &made)?;
    }
    let mut secrets: Secrets = serde_json::from_str(&fs::read_to_string(&path)?)?;
    // A folder of a version that signed nothing has none.
    if secrets.signing_key.is_empty() {
        secrets.signing_key = hex::encode(keys::random()?);
        keep(&path, &secrets)?;
    }
    Ok(secrets)
}

/// Whole or not at all: half a secret would lock the data away.
fn keep(path: &Path, secrets: &Secrets) -> anyhow::Result<()> {
    let Secrets { master_key, pepper, signing_key, verifying_key: _ } = secrets;
    let kept = json!({ "master_key": master_key, "pepper": pepper, "signing_key": signing_key });
    Ok(private::write(path, &kept.to_string())?)
}

/// Makes the first admin key and writes it down for its owner's eyes; what is printed may be kept as a
/// log, so only its place is told.
///
/// Written down before it is in the log: a crash between the two leaves a file that the next start
/// replaces, never a key that nobody knows.
#[expect(clippy::print_stdout, reason = "a command line speaks to its user")]
async fn first_key(config: &Config, ground: &Ground, data_dir: &Path) -> anyhow::Result<()> {
    if keys::are_there(ground).await? {
        return Ok(());
    }
    let path = data_dir.join("admin.key");
    let create = keys::Create {
        tenant: FIRST_TENANT.parse()?,
        name: "first admin key".to_owned(),
        scopes: BTreeSet::from(Scope::ALL),
        tier: Some(Tier::Enterprise),
    };
    let keep = |secret: &str| Ok(private::write(&path, &format!("{secret}\n"))?);
    keys::create(ground, &config.secrets.pepper()?, create, keep).await.context("the first key")?;
    println!("the first admin key is in {}", path.display());
    Ok(())
}
