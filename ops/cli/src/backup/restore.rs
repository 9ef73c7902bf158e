use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::Context;
use ffapi_backup::{Lost, Plan, Point, Repository, Restore, Restored};
use ffapi_domain::Timestamp;
use ffapi_embedded::{NatsServer, Postgres, private};
use ffapi_nats::{Codec, Log, MasterKeys, Nats, NatsConfig, RawStream, Vault, topology::EVENTS};
use ffapi_projections::{Database, PostgresConfig, archive};

use super::{SECRETS, readable, secrets, servers};
use crate::{arguments::RestoreBackup, config::Config, nats_users::NatsUsers};

/// The file in a data folder whose restore is not complete.
pub(crate) const UNFINISHED: &str = "restoring";

/// Restores a backup: into the configured servers, or else into a data folder.
pub(crate) async fn restore(
    config: &Config,
    data_dir: &Path,
    asked: RestoreBackup,
) -> anyhow::Result<()> {
    let repository = readable(config, &asked.store, &asked.identity)?;
    if asked.read_models {
        return read_models(config, &repository).await;
    }
    let plan = Plan::new(&repository, asked.backup.as_deref(), point(&asked)?).await?;
    if asked.dry_run {
        return explain(config, &repository, &plan).await;
    }
    if config.nats.is_some() {
        return into_servers(config, &repository, &plan, &asked).await;
    }
    let names_archive = asked.with_archive || asked.discard_archive;
    anyhow::ensure!(!names_archive, "a data folder has no archive that could be kept or deleted");
    Box::pin(into_folder(config, &repository, &plan, data_dir)).await
}

fn point(asked: &RestoreBackup) -> anyhow::Result<Point> {
    Ok(match (&asked.to_position, &asked.to_time) {
        (Some(position), _) => Point::Position(position.parse()?),
        (None, Some(time)) => {
            let time: Result<Timestamp, _> = time.parse();
            Point::Time(time.context("--to-time is a time like 2026-11-21T12:00:00Z")?)
        }
        (None, None) => Point::Latest,
    })
}

/// Prints what a restore would do.
#[expect(clippy::print_stdout, reason = "a command line speaks to its user")]
async fn explain(config: &Config, repository: &Repository, plan: &Plan) -> anyhow::Result<()> {
    let (epoch, sequence) = (plan.manifest.epoch, plan.sequence);
    let until = plan.last_at.map(|at| format!(", the last of {at}")).unwrap_or_default();
    println!("backup {}: {sequence} messages up to {epoch}-{sequence}{until}", plan.manifest.id);
    let lost = plan.lost(repository).await?;
    println!("lost of those in the backup: {}", shown(&lost));
    if config.nats.is_some() {
        let (nats, _) = servers(config).await?;
        println!("lost of those in the service: {}", shown(&lost_now(&nats, plan).await?));
    }
    Ok(())
}

/// What a service has after the point of the plan.
async fn lost_now(nats: &Nats, plan: &Plan) -> anyhow::Result<Lost> {
    let identity = ffapi_nats::topology::check(nats).await?;
    let (found, of) = (identity.log_id, plan.manifest.log_id);
    anyhow::ensure!(found == of, "the service has log {found}, the backup is of log {of}");
    let (mut lost, stream) = (Lost::default(), RawStream::new(nats.clone(), EVENTS));
    let mut next = plan.sequence.saturating_add(1);
    loop {
        let page = stream.page(next, 1024 * 1024).await?;
        let Some(last) = page.last() else { return Ok(lost) };
        next = last.sequence.saturating_add(1);
        for record in &page {
            lost.add(&record.subject, Timestamp::from_millis(record.at));
        }
    }
}

fn shown(lost: &Lost) -> String {
    let Some((first, last)) = lost.between else { return "nothing".to_owned() };
    let kinds: Vec<String> =
        lost.messages.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    format!("{} messages from {first} to {last} ({})", lost.total(), kinds.join(", "))
}

/// The restore of a plan, or the one that was interrupted on this server and its database.
#[expect(clippy::print_stderr, reason = "a command line speaks to its user")]
async fn begin(repository: &Repository, nats: &Nats, plan: &Plan) -> anyhow::Result<Restore> {
    let Some(unfinished) = Restore::unfinished(nats).await? else {
        return Ok(Restore::begin(repository, plan).await?);
    };
    let (backup, sequence) = (&unfinished.backup, unfinished.sequence);
    eprintln!("continuing the restore of {backup} up to {sequence}, which was interrupted");
    Ok(unfinished)
}

#[expect(clippy::print_stdout, reason = "a command line speaks to its user")]
async fn finish(
    repository: &Repository,
    restore: &Restore,
    restored: &Restored,
    nats: &Nats,
    database: &Database,
    master: &MasterKeys,
) -> anyhow::Result<()> {
    database.migrate().await?;
    database.clear().await?;
    let codec = Codec::new(Vault::open_with(nats, master).await?);
    let log = Log::open(nats.clone()).await?;
    let due = Box::pin(restore.deliveries(repository, database, &log, &codec)).await?;
    println!(
        "restored {} up to {}, as epoch {}; {due} webhook deliveries are due",
        restore.backup,
        restored.sequence.saturating_sub(1),
        restored.identity.epoch
    );
    Ok(())
}

async fn into_servers(
    config: &Config,
    repository: &Repository,
    plan: &Plan,
    asked: &RestoreBackup,
) -> anyhow::Result<()> {
    let (nats, database) = servers(config).await?;
    // Everything after a point that is named is to be lost.
    let names_point = asked.to_position.is_some() || asked.to_time.is_some();
    if !(asked.with_archive || asked.discard_archive || names_point) {
        database.migrate().await?;
        let later = archive::page(&database, plan.sequence).await?;
        anyhow::ensure!(
            later.is_empty(),
            "the archive in Postgres has messages after {}, the newest of the backup: \
             --with-archive restores them, --discard-archive deletes them",
            plan.sequence
        );
    }
    let restore = begin(repository, &nats, plan).await?;
    let secrets = secrets(config, &restore.files(repository).await?)?;
    let master = secrets.master()?;
    let archive = asked.with_archive.then_some(&database);
    let restored = restore.log(repository, &nats, &master, archive).await?;
    finish(repository, &restore, &restored, &nats, &database, &master).await
}

/// Builds the read models of an empty or outdated Postgres, where the log is not lost.
#[expect(clippy::print_stdout, reason = "a command line speaks to its user")]
async fn read_models(config: &Config, repository: &Repository) -> anyhow::Result<()> {
    anyhow::ensure!(config.nats.is_some(), "--read-models needs configured servers");
    let (nats, database) = servers(config).await?;
    database.migrate().await?;
    database.clear().await?;
    let codec = Codec::new(Vault::open_with(&nats, &config.secrets.master()?).await?);
    let log = Log::open(nats).await?;
    let due = ffapi_backup::settle_newest(repository, &database, &log, &codec);
    let due = Box::pin(due).await?;
    println!("{due} webhook deliveries are due; projectors build the other read models");
    Ok(())
}

async fn into_folder(
    config: &Config,
    repository: &Repository,
    plan: &Plan,
    data_dir: &Path,
) -> anyhow::Result<()> {
    let marker = data_dir.join(UNFINISHED);
    let is_empty = !data_dir.exists() || data_dir.read_dir()?.next().is_none();
    anyhow::ensure!(
        is_empty || marker.exists(),
        "{} has data; restore into an empty folder",
        data_dir.display()
    );
    private::folder(data_dir).with_context(|| data_dir.display().to_string())?;
    let data_dir = data_dir.canonicalize()?;
    let lock = File::create(data_dir.join("lock"))?;
    lock.try_lock().with_context(|| format!("{} is in use", data_dir.display()))?;
    private::write(&marker, "")?;
    // Its passwords are replaced by those of the backup at the end.
    let users = NatsUsers::of(&data_dir.join("nats"))?;
    let server = NatsServer::start_with(&data_dir.join("nats"), &users.configuration())?;
    let postgres = Postgres::start(&data_dir)?;
    let nats = Nats::connect(&NatsConfig { url: users.url(&server.url(), "operator")? }).await?;
    let postgres_config = PostgresConfig { url: postgres.url(), max_connections: 4 };
    let database = Database::connect(&postgres_config)?;
    let restore = begin(repository, &nats, plan).await?;
    let files = restore.files(repository).await?;
    anyhow::ensure!(
        files.contains_key(SECRETS),
        "this is a backup of a service with servers of its own: restore it into others \
         (FFAPI_NATS__URL, FFAPI_POSTGRES__URL)"
    );
    let secrets = secrets(config, &files)?;
    let master = secrets.master()?;
    let restored = restore.log(repository, &nats, &master, None).await?;
    finish(repository, &restore, &restored, &nats, &database, &master).await?;
    for (name, text) in &files {
        private::write(&contained(&data_dir, name)?, text)?;
    }
    nats.close().await;
    drop((server, postgres));
    fs::remove_file(&marker)?;
    Ok(())
}

/// The path of a file of the data folder.
fn contained(data_dir: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let known = super::FILES.contains(&name);
    anyhow::ensure!(known, "the backup has an unknown file {name}");
    Ok(data_dir.join(name))
}
