//! `ffapi backup` and `ffapi restore`.

mod restore;
mod settings;

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::Context;
use ffapi_backup::{
    Backups, Identities, Manifest, Recipients, Repository, Schedule, Source, VerificationKeys,
};
use ffapi_embedded::private;
use ffapi_nats::Nats;
use ffapi_projections::Database;
use ffapi_storage::PlainStore;

pub(crate) use self::{
    restore::{UNFINISHED, restore},
    settings::BackupConfig,
};
use crate::{
    arguments::{BackupStore, BackupVerb, CreateBackup, VerifyBackup},
    config::Config,
    keyring::{Secret, Secrets},
    metrics::Metrics,
    roles,
    telemetry::Telemetry,
};

/// The files of a data folder without which its data is unreadable.
const FILES: [&str; 3] = ["secrets.json", "admin.key", "nats/users.json"];
/// The one of these with the secrets.
const SECRETS: &str = "secrets.json";

/// Runs one of the verbs. `folder` is the data folder whose servers are used, if there is one.
#[expect(clippy::print_stdout, reason = "a command line speaks to its user")]
pub(crate) async fn run(
    config: &Config,
    folder: Option<&Path>,
    verb: BackupVerb,
) -> anyhow::Result<()> {
    match verb {
        BackupVerb::Key { out } => key(&out),
        BackupVerb::Create(asked) => create(config, folder, asked).await,
        BackupVerb::List { store } => list(&repository(config, &store)?).await,
        BackupVerb::Verify(asked) => verify(config, asked).await,
        BackupVerb::Drill(asked) => drill(config, asked).await,
        BackupVerb::Prune { store } => {
            let repository = repository(config, &store)?;
            let pruned = ffapi_backup::prune(&repository, &config.backup.keep).await?;
            println!("{} backups and {} objects deleted", pruned.backups, pruned.objects);
            if pruned.unreadable > 0 {
                println!(
                    "{} backups cannot be read, and were kept with all chunks",
                    pruned.unreadable
                );
            }
            Ok(())
        }
    }
}

/// Opens the store of the backups.
fn repository(config: &Config, store: &BackupStore) -> anyhow::Result<Repository> {
    let name = store.name.as_ref().or(config.backup.store.as_ref());
    let name = name.context("name the store of the backups: --store, or backup.store")?;
    Ok(Repository::new(PlainStore::named(name, &config.stores)?))
}

fn readable(config: &Config, store: &BackupStore, identity: &Path) -> anyhow::Result<Repository> {
    let text = fs::read_to_string(identity).with_context(|| identity.display().to_string())?;
    Ok(repository(config, store)?.decrypt_with(Identities::parse(&text)?))
}

#[expect(clippy::print_stdout, reason = "a command line speaks to its user")]
fn key(out: &Path) -> anyhow::Result<()> {
    anyhow::ensure!(!out.exists(), "{} exists already", out.display());
    let (file, recipient) = ffapi_backup::generate_key();
    private::write(out, &file)?;
    println!("{recipient}");
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a command line speaks to its user")]
async fn create(config: &Config, folder: Option<&Path>, asked: CreateBackup) -> anyhow::Result<()> {
    let recipients =
        if asked.recipient.is_empty() { &config.backup.recipients } else { &asked.recipient };
    let repository = repository(config, &asked.store)?.encrypt_to(Recipients::parse(recipients)?);
    let nats = roles::connect(config).await?;
    let (database, _) = roles::databases(config)?;
    if asked.follow {
        return follow(config, scheduled(config, repository, folder)?, &nats, &database).await;
    }
    let files = folder.map(files).transpose()?.unwrap_or_default();
    let with_read_models = !asked.without_read_models;
    let source = Source { nats: &nats, database: &database, files, with_read_models };
    let created = ffapi_backup::create(&repository, &source).await?;
    let Manifest { id, epoch, sequence, .. } = &created.manifest;
    println!(
        "{id}: the log up to {epoch}-{sequence}; {} messages read, {} bytes stored",
        created.messages, created.stored_bytes
    );
    Ok(())
}

/// The name of a process that makes backups, in its telemetry.
const SERVICE: &str = "ffapi-backup";

/// Makes backups periodically until it is stopped.
async fn follow(
    config: &Config,
    schedule: Schedule,
    nats: &Nats,
    database: &Database,
) -> anyhow::Result<()> {
    let telemetry = Telemetry::start(&config.log, SERVICE)?;
    let metrics = Metrics::start(&config.metrics, SERVICE).await?;
    let stop = roles::stop_on_signal()?;
    schedule.run(nats, database, &stop).await;
    metrics.stop().await;
    telemetry.stop().await;
    Ok(())
}

/// The schedule of the configuration; none if no store is configured.
pub(crate) fn schedule(config: &Config) -> anyhow::Result<Option<Schedule>> {
    let Some(name) = &config.backup.store else { return Ok(None) };
    let store = BackupStore { name: Some(name.clone()) };
    let recipients = Recipients::parse(&config.backup.recipients).context("backup.recipients")?;
    let repository = repository(config, &store)?.encrypt_to(recipients);
    let folder = config.backup.folder.as_deref();
    Ok(Some(scheduled(config, repository, folder)?))
}

fn scheduled(
    config: &Config,
    repository: Repository,
    folder: Option<&Path>,
) -> anyhow::Result<Schedule> {
    Ok(Schedule {
        repository,
        every: config.backup.every,
        keep: config.backup.keep,
        files: folder.map(files).transpose()?.unwrap_or_default(),
    })
}

fn files(folder: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    for name in FILES {
        let path = folder.join(name);
        if path.exists() {
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            files.insert(name.to_owned(), text);
        }
    }
    Ok(files)
}

#[expect(clippy::print_stdout, reason = "a command line speaks to its user")]
async fn list(repository: &Repository) -> anyhow::Result<()> {
    let Backups { readable, unreadable } = repository.backups().await?;
    for backup in readable {
        let Manifest { id, at, epoch, sequence, read_models, .. } = &backup;
        let compared = if read_models.is_empty() { "" } else { ", with read models" };
        println!(
            "{id}: made {at}, the log up to {epoch}-{sequence}, {} bytes{compared}",
            backup.bytes()
        );
    }
    let reasons: Vec<String> = unreadable.iter().map(ToString::to_string).collect();
    anyhow::ensure!(reasons.is_empty(), "some backups cannot be read: {}", reasons.join("; "));
    Ok(())
}

/// A backup that can be read, with the secrets that its verification needs.
async fn chosen(
    config: &Config,
    asked: &VerifyBackup,
) -> anyhow::Result<(Repository, Manifest, VerificationKeys)> {
    let repository = readable(config, &asked.store, &asked.identity)?;
    let manifest = match &asked.backup {
        Some(id) => repository.backup(id).await?,
        None => repository.newest(None).await?.context("there is no backup in this store")?,
    };
    let files = ffapi_backup::files(&repository, &manifest).await?;
    let secrets = secrets(config, &files)?;
    let keys = VerificationKeys { master: secrets.master()?, verifying: secrets.all_verifying()? };
    Ok((repository, manifest, keys))
}

#[expect(clippy::print_stdout, reason = "a command line speaks to its user")]
async fn verify(config: &Config, asked: VerifyBackup) -> anyhow::Result<()> {
    let (repository, manifest, keys) = chosen(config, &asked).await?;
    let verified = Box::pin(ffapi_backup::verify(&repository, &manifest, &keys)).await?;
    for fault in &verified.faults {
        println!("{fault}");
    }
    let count = verified.faults.len();
    anyhow::ensure!(count == 0, "backup {} cannot be relied on: {count} faults", manifest.id);
    println!(
        "{} is as it was made: {} messages, {} read models and {} signed heads compared",
        manifest.id, verified.messages, verified.read_models, verified.anchors
    );
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a command line speaks to its user")]
async fn drill(config: &Config, asked: VerifyBackup) -> anyhow::Result<()> {
    let (repository, manifest, keys) = chosen(config, &asked).await?;
    println!("backup {}: {} messages of the log", manifest.id, manifest.sequence);
    let exercises = Box::pin(ffapi_backup::drill(&repository, &manifest, &keys)).await?;
    let mut failed = 0_usize;
    for exercise in &exercises {
        let (lost, from) = (exercise.lost, exercise.from);
        let seconds = exercise.recovery_time.as_secs_f64();
        println!("lost {lost}: recovered from {from} in {seconds:.1} s");
        for fault in &exercise.faults {
            println!("  {fault}");
        }
        failed = failed.saturating_add(usize::from(!exercise.faults.is_empty()));
    }
    anyhow::ensure!(failed == 0, "{failed} recoveries were not complete");
    Ok(())
}

/// The secrets of the configuration, or else those in the backup.
fn secrets(config: &Config, files: &BTreeMap<String, String>) -> anyhow::Result<Secrets> {
    let needed = [Secret::Master, Secret::Verifying];
    if config.secrets.master().is_ok() {
        return Ok(config.secrets.clone());
    }
    let text = files.get(SECRETS).context(
        "the backup has no secrets, because the service reads them from elsewhere: set \
         FFAPI_SECRETS__MASTER_KEY",
    )?;
    let mut secrets: Secrets = serde_json::from_str(text)?;
    secrets.derive(&needed);
    Ok(secrets)
}

/// The servers of a configuration.
async fn servers(config: &Config) -> anyhow::Result<(Nats, Database)> {
    Ok((roles::connect(config).await?, roles::databases(config)?.0))
}
