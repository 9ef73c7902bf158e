use std::time::{Duration, Instant};

use ffapi_embedded::{NatsServer, Postgres};
use ffapi_nats::{
    Codec, Log, Nats, NatsConfig, Vault as OpenVault,
    topology::{self, LogIdentity},
};
use ffapi_projections::{
    Database, Digest, PostgresConfig, READ_MODELS, archive, built_digest, digests,
};

use tokio::task::JoinSet;

use crate::{
    BackupError, Manifest, VerificationKeys,
    create::STREAMS,
    repository::Repository,
    restore::{Filling, from_archive, newest_vault, settle},
    verify::{Verified, compare_chain},
};

/// One disaster that was recovered from, in private servers.
#[derive(Debug)]
pub struct Exercise {
    /// What was lost.
    pub lost: &'static str,
    /// What it was recovered from.
    pub from: &'static str,
    /// The time from empty servers to complete read models.
    pub recovery_time: Duration,
    /// What is not as before; empty for a complete recovery.
    pub faults: Vec<String>,
}

/// Private servers, which are replaced one by one.
struct Lab<'a> {
    repository: &'a Repository,
    manifest: &'a Manifest,
    keys: &'a VerificationKeys,
    folder: tempfile::TempDir,
    started: u32,
    servers: Option<(NatsServer, Nats)>,
    postgres: Option<(Postgres, Database)>,
}

/// Restores a backup into private servers, and loses them one by one. Must be called on a thread
/// that lives as long as the servers should.
///
/// # Errors
/// When the store or a private server fails. What was not recovered is in the result.
pub async fn drill(
    repository: &Repository,
    manifest: &Manifest,
    keys: &VerificationKeys,
) -> Result<Vec<Exercise>, BackupError> {
    let folder = ffapi_embedded::temporary_folder()?;
    let (servers, postgres) = (None, None);
    let mut lab = Lab { repository, manifest, keys, folder, started: 0, servers, postgres };
    let mut exercises = Vec::new();

    let start = Instant::now();
    lab.replace_postgres().await?;
    lab.replace_nats().await?;
    lab.filling(manifest.sequence)?.vault(&newest_vault(repository, manifest).await?).await?;
    lab.filling(manifest.sequence)?.streams(&STREAMS).await?;
    lab.open_log().await?;
    lab.build_read_models().await?;
    let recovery_time = start.elapsed();
    let mut verified = Verified::default();
    compare_chain(manifest, keys, lab.nats()?, &mut verified).await?;
    let faults = verified.faults;
    let (lost, from) = ("NATS and Postgres", "the backup");
    exercises.push(Exercise { lost, from, recovery_time, faults });
    let reference = digests(lab.database()?).await?;

    let start = Instant::now();
    lab.replace_postgres().await?;
    lab.build_read_models().await?;
    exercises.push(lab.exercise("Postgres", "the log", start, &reference).await?);

    // Half of the log from the backup, and what is later from the archive.
    let start = Instant::now();
    lab.replace_nats().await?;
    lab.filling(manifest.sequence)?.vault(&newest_vault(repository, manifest).await?).await?;
    lab.filling(manifest.sequence / 2)?.streams(&STREAMS).await?;
    from_archive(lab.nats()?, lab.database()?, manifest.sequence / 2).await?;
    lab.open_log().await?;
    lab.database()?.clear().await?;
    lab.build_read_models().await?;
    let from = "the backup, and the archive in Postgres for what is later";
    exercises.push(lab.exercise("NATS", from, start, &reference).await?);

    lab.replace_nats().await?;
    lab.filling(manifest.sequence)?.streams(&STREAMS).await?;
    lab.open_log().await?;
    let start = Instant::now();
    lab.filling(manifest.sequence)?.vault(&newest_vault(repository, manifest).await?).await?;
    lab.database()?.clear().await?;
    lab.build_read_models().await?;
    exercises.push(lab.exercise("the vault", "the backup", start, &reference).await?);
    Ok(exercises)
}

impl Lab<'_> {
    fn next_folder(&mut self) -> std::path::PathBuf {
        self.started = self.started.saturating_add(1);
        self.folder.path().join(self.started.to_string())
    }

    fn nats(&self) -> Result<&Nats, BackupError> {
        let missing = || BackupError::refused("NATS is not started");
        self.servers.as_ref().map(|(_, nats)| nats).ok_or_else(missing)
    }

    fn database(&self) -> Result<&Database, BackupError> {
        let missing = || BackupError::refused("Postgres is not started");
        self.postgres.as_ref().map(|(_, database)| database).ok_or_else(missing)
    }

    fn filling(&self, sequence: u64) -> Result<Filling<'_>, BackupError> {
        let Self { repository, manifest, .. } = self;
        Ok(Filling { repository, nats: self.nats()?, manifest, sequence })
    }

    /// Kills NATS, and starts another one without data.
    async fn replace_nats(&mut self) -> Result<(), BackupError> {
        if let Some((mut server, _)) = self.servers.take() {
            server.kill();
        }
        let server = NatsServer::start(&self.next_folder())?;
        let nats = Nats::connect(&NatsConfig { url: server.url() }).await?;
        topology::begin_restore(&nats, "drill").await?;
        self.servers = Some((server, nats));
        Ok(())
    }

    /// Kills Postgres, and starts another one without data.
    async fn replace_postgres(&mut self) -> Result<(), BackupError> {
        if let Some((mut server, _)) = self.postgres.take() {
            server.kill();
        }
        let folder = self.next_folder();
        std::fs::create_dir_all(&folder)?;
        let server = Postgres::start(&folder)?;
        let config = PostgresConfig { url: server.url(), max_connections: 4 };
        let database = Database::connect(&config)?;
        database.migrate().await?;
        self.postgres = Some((server, database));
        Ok(())
    }

    async fn open_log(&self) -> Result<(), BackupError> {
        let Manifest { log_id, epoch, .. } = *self.manifest;
        Ok(topology::end_restore(self.nats()?, &LogIdentity { log_id, epoch }).await?)
    }

    async fn build_read_models(&self) -> Result<(), BackupError> {
        let (nats, database) = (self.nats()?, self.database()?);
        let codec = Codec::new(OpenVault::open_with(nats, &self.keys.master).await?);
        let log = Log::open(nats.clone()).await?;
        let vault = newest_vault(self.repository, self.manifest).await?;
        settle(self.repository, &vault, database, &log, &codec).await?;
        // As projectors do, side by side.
        let mut building = JoinSet::new();
        for name in READ_MODELS {
            let (database, log, codec) = (database.clone(), log.clone(), codec.clone());
            building
                .spawn(async move { Box::pin(built_digest(name, &database, &log, &codec)).await });
        }
        while let Some(built) = building.join_next().await {
            built.map_err(std::io::Error::other)??;
        }
        Ok(())
    }

    async fn exercise(
        &self,
        lost: &'static str,
        from: &'static str,
        start: Instant,
        reference: &[Digest],
    ) -> Result<Exercise, BackupError> {
        let recovery_time = start.elapsed();
        let mut faults = Vec::new();
        for (before, after) in reference.iter().zip(digests(self.database()?).await?) {
            if *before != after {
                faults.push(format!("read model {} is {after:?}, was {before:?}", before.name));
            }
        }
        if let Err(sequence) = archive::verify(self.database()?).await? {
            faults.push(format!("the hash chain differs at message {sequence}"));
        }
        Ok(Exercise { lost, from, recovery_time, faults })
    }
}
