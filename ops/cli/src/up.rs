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
use ffapi_workers::Lifetime;
use serde_json::json;

use crate::{
    backup::UNFINISHED,
    config::Config,
    keyring::{Secret, Secrets},
    keys,
    local::LocalServers,
    metrics::Metrics,
    nats_users::NatsUsers,
    roles::{self, AppContext, Role},
    service_manager,
    telemetry::Telemetry,
};

/// The tenant of the first key.
const FIRST_TENANT: &str = "default";

/// The name of a process with every role, in its telemetry.
const SERVICE: &str = "ffapi";

/// Runs until Ctrl-C or SIGTERM.
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
    anyhow::ensure!(
        !data_dir.join(UNFINISHED).exists(),
        "the restore into {} is not complete; repeat `ffapi restore`",
        data_dir.display()
    );
    let telemetry = Telemetry::start(&config.log, SERVICE)?;
    let metrics = Metrics::start(&config.metrics, SERVICE).await?;
    let stop = roles::stop_on_signal()?;
    let _notifying = service_manager::follow(&stop);

    if let Some(listen) = listen {
        config.gateway.listen = listen;
    }
    let listen = &config.gateway.listen;
    // Bound while the servers choose their ports, so that none of them uses this one.
    let bound = TcpListener::bind(listen)
        .with_context(|| format!("cannot listen on {listen}; is something else running there?"))?;
    // Started on the main thread, because they end with the thread that started them.
    let users = NatsUsers::of(&data_dir.join("nats"))?;
    let nats = NatsServer::start_with(&data_dir.join("nats"), &users.configuration());
    let mut nats = nats.context("nats-server")?;
    let mut postgres = Postgres::start(&data_dir).context("postgres")?;
    // Every role runs in this process, so it connects as the operator.
    let url = users.url(&nats.url(), "operator")?;
    config.nats = Some(NatsConfig { url: url.clone() });
    let max_connections = config.postgres.as_ref().map_or(16, |given| given.max_connections);
    config.postgres = Some(PostgresConfig { url: postgres.url(), max_connections });
    config.secrets = secrets(&data_dir)?;
    config.secrets.derive(&Secret::ALL);
    config.storage.root = data_dir.join("storage");
    config.backup.folder = Some(data_dir.clone());
    let servers = LocalServers { nats: url.clone(), postgres: postgres.url() };
    servers.write(&data_dir)?;
    drop(bound);

    let client = Nats::connect(&NatsConfig { url }).await?;
    topology::apply(&client).await?;
    client.close().await;
    let context = AppContext::new(&config).await?;
    context.database.migrate().await?;
    first_key(&config, &context, &data_dir).await?;

    let worker = Role::Worker(Lifetime::Unlimited);
    let all = [Role::Projector, Role::Conductor, worker, Role::Gateway];
    let (nats_url, postgres_url) = (nats.url(), postgres.url());
    let metrics_at = metrics.address();
    let on_listen = |address| {
        eprintln!("ffapi is up: http://{address} (docs at /docs); Ctrl-C stops it");
        if let Some(address) = metrics_at {
            eprintln!("its metrics are at http://{address}/metrics");
        }
        let folder = data_dir.display();
        eprintln!(
            "its NATS is at {nats_url}, its Postgres at {postgres_url}; {folder}/servers.json has their \
             passwords, and `ffapi replay`, `doctor`, … find both with --data-dir {folder}"
        );
        eprintln!(
            "follow its events: nats sub 'live.>' --server \"$(jq -r .nats {folder}/servers.json)\""
        );
    };
    let outcome = tokio::select! {
        outcome = roles::run(&config, &context, &all, &stop, on_listen) => outcome,
        // In this task, and so on this thread, for the reason given above.
        never = supervise(&mut nats, &mut postgres) => match never {},
        never = Box::pin(telemetry.follow(&config)) => match never {},
    };
    metrics.stop().await;
    telemetry.stop().await;
    outcome
}

/// Restarts a server that died, with its data.
async fn supervise(nats: &mut NatsServer, postgres: &mut Postgres) -> Infallible {
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        if !nats.is_running() {
            let outcome = nats.restart();
            tracing::warn!(?outcome, "nats-server died and was restarted");
        }
        if !postgres.is_running() {
            let outcome = postgres.restart();
            tracing::warn!(?outcome, "postgres died and was restarted");
        }
    }
}

/// The secrets of the data folder, generated at the first start.
fn secrets(data_dir: &Path) -> anyhow::Result<Secrets> {
    let path = data_dir.join("secrets.json");
    if !path.exists() {
        let generated = Secrets { master_key: hex::encode(keys::random()?), ..Secrets::default() };
        let generated = Secrets { pepper: hex::encode(keys::random()?), ..generated };
        write_secrets(&path, &generated)?;
    }
    let mut secrets: Secrets = serde_json::from_str(&fs::read_to_string(&path)?)?;
    // A folder of an older version without signatures has none.
    if secrets.signing_key.is_empty() {
        secrets.signing_key = hex::encode(keys::random()?);
        write_secrets(&path, &secrets)?;
    }
    Ok(secrets)
}

/// Writes the secrets atomically: the data is unreadable without them.
fn write_secrets(path: &Path, secrets: &Secrets) -> anyhow::Result<()> {
    // None of them was rotated yet.
    let Secrets { master_key, pepper, signing_key, .. } = secrets;
    let kept = json!({ "master_key": master_key, "pepper": pepper, "signing_key": signing_key });
    Ok(private::write(path, &kept.to_string())?)
}

/// Creates the first admin key and writes it to a file that only its owner can read. Only the path
/// is printed, because output may be kept as a log.
///
/// The file is written before the key is appended to the log: a crash between the two leaves a file
/// that the next start replaces, and never a key whose secret is lost.
#[expect(clippy::print_stdout, reason = "a command line speaks to its user")]
async fn first_key(config: &Config, context: &AppContext, data_dir: &Path) -> anyhow::Result<()> {
    if keys::exist(context).await? {
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
    keys::create(context, &config.secrets.pepper()?, create, keep)
        .await
        .context("the first key")?;
    println!("the first admin key is in {}", path.display());
    Ok(())
}
