use std::collections::BTreeMap;

use ffapi_domain::restoration::{CATEGORY, LogEvent};
use ffapi_nats::{
    Actor, Codec, Decision, Log, MasterKeys, Message, Nats, RawStream, Record, Vault as OpenVault,
    subject,
    topology::{self, ANCHORS, AUDIT, EVENTS, IDEM, LogIdentity, VAULT},
};
use ffapi_projections::{Anchor, Database, Runner, Webhooks, archive, delivery_queue};
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::{
    BackupError, Manifest, Plan, chunk,
    create::{IDEM_MILLIS, STREAMS, now},
    manifest::{Chunk, VaultObject},
    repository::Repository,
    vault::Vault,
};

/// A restore that was begun: with it, an interrupted one continues exactly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restore {
    /// The id of the backup.
    pub backup: String,
    /// Stream sequence of the last message that is restored.
    pub sequence: u64,
    /// The epoch of the restored log.
    pub epoch: u32,
    vault: VaultObject,
}

/// A log that was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Its identity.
    pub identity: LogIdentity,
    /// Stream sequence of the last message, which records the restore.
    pub sequence: u64,
}

impl Restore {
    /// Begins a restore: reserves its epoch. It uses the newest vault of all backups, so that a
    /// tenant that was erased since stays erased.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn begin(repository: &Repository, plan: &Plan) -> Result<Self, BackupError> {
        let vault = newest_vault(repository, &plan.manifest).await?;
        let why = format!("{} up to {}", plan.manifest.id, plan.sequence);
        let epoch = repository.reserve_epoch(plan.manifest.epoch, &why).await?;
        Ok(Self { backup: plan.manifest.id.clone(), sequence: plan.sequence, epoch, vault })
    }

    /// The restore that was begun on a server, unless its log was used since.
    ///
    /// # Errors
    /// When the server does not respond, or was begun by another version.
    pub async fn unfinished(nats: &Nats) -> Result<Option<Self>, BackupError> {
        let Some(text) = topology::restore_name(nats).await? else { return Ok(None) };
        let begun: Self = serde_json::from_str(&text)
            .map_err(|error| BackupError::damaged("the unfinished restore", error.to_string()))?;
        let is_complete = topology::check(nats).await.is_ok();
        let is_unused = !is_complete || begun.last_record(nats).await?.is_some();
        Ok(is_unused.then_some(begun))
    }

    /// The files of the data folder that was backed up, by name.
    ///
    /// # Errors
    /// When the store fails, or the vault is damaged.
    pub async fn files(
        &self,
        repository: &Repository,
    ) -> Result<BTreeMap<String, String>, BackupError> {
        Ok(Vault::load(repository, &self.vault).await?.files)
    }

    /// Writes the streams of an empty server, records the restore in the log, and raises the epoch.
    /// What is later than the backup comes from the archive of a database, if one is given. Call it
    /// again after an interruption.
    ///
    /// # Errors
    /// When a server or the store fails, an object is damaged, or the server has a log already.
    pub async fn log(
        &self,
        repository: &Repository,
        nats: &Nats,
        master_keys: &MasterKeys,
        archive: Option<&Database>,
    ) -> Result<Restored, BackupError> {
        let manifest = repository.backup(&self.backup).await?;
        let name =
            serde_json::to_string(self).map_err(|error| BackupError::refused(error.to_string()))?;
        let identity = LogIdentity { log_id: manifest.log_id, epoch: self.epoch };
        if topology::check(nats).await.is_ok_and(|found| found == identity) {
            // Interrupted after that.
            let sequence = RawStream::new(nats.clone(), EVENTS).bounds().await?.last;
            return Ok(Restored { identity, sequence });
        }
        topology::begin_restore(nats, &name).await?;
        let source = Filling { repository, nats, manifest: &manifest, sequence: self.sequence };
        source.vault(&self.vault).await?;
        source.streams(&STREAMS).await?;
        if let Some(database) = archive
            && self.last_record(nats).await?.is_none()
        {
            let here = archive::hash_at(database, self.sequence).await?.map(hex::encode);
            let backed_up = manifest.chunks(EVENTS).last().and_then(|last| last.chain.clone());
            if here.is_some() && here != backed_up {
                return Err(BackupError::refused("the archive in Postgres is of another log"));
            }
            from_archive(nats, database, self.sequence).await?;
        }
        let vault = OpenVault::open_with(nats, master_keys).await?;
        let sequence = self.record(nats, &Codec::new(vault), &manifest).await?;
        ffapi_nats::failpoint::hit("restore.before_end");
        topology::end_restore(nats, &identity).await?;
        Ok(Restored { identity, sequence })
    }

    /// Builds the webhook deliveries of an empty database and drops those that were made before the
    /// backup; returns how many are due. Nothing may send until then.
    ///
    /// # Errors
    /// When a server or the store fails.
    pub async fn deliveries(
        &self,
        repository: &Repository,
        database: &Database,
        log: &Log,
        codec: &Codec,
    ) -> Result<u64, BackupError> {
        settle(repository, &self.vault, database, log, codec).await
    }

    /// Appends the event that records the restore, unless that was done.
    async fn record(
        &self,
        nats: &Nats,
        codec: &Codec,
        manifest: &Manifest,
    ) -> Result<u64, BackupError> {
        if let Some(recorded) = self.last_record(nats).await? {
            return Ok(recorded);
        }
        let stream = RawStream::new(nats.clone(), EVENTS);
        let last = stream.bounds().await?.last;
        let (command_id, at) = (self.command_id(), now().as_millis());
        let event = LogEvent::Restored {
            backup: self.backup.clone(),
            from_epoch: manifest.epoch,
            epoch: self.epoch,
            sequence: last,
        };
        let actor = Actor::Process("restore".to_owned());
        let mut decision = Decision::new(command_id, actor, "_", at, vec![event]);
        decision.causation = Some(format!("backup {}", self.backup));
        let record = Record {
            sequence: last.saturating_add(1),
            subject: subject::process(CATEGORY, "restored"),
            at,
            headers: vec![(COMMAND_ID.to_owned(), command_id.to_string())],
            payload: codec.encode(&decision).await?,
        };
        Ok(stream.append(last, &[record]).await?)
    }

    /// Of the event that records this restore.
    fn command_id(&self) -> Uuid {
        let name = format!("restore {} {} {}", self.backup, self.sequence, self.epoch);
        Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes())
    }

    /// The sequence of the event that records this restore, if that is the last message.
    async fn last_record(&self, nats: &Nats) -> Result<Option<u64>, BackupError> {
        let stream = RawStream::new(nats.clone(), EVENTS);
        let last = stream.bounds().await?.last;
        let messages = stream.page(last, 1).await?;
        let id = self.command_id().to_string();
        let is_it = |record: &Record| {
            record.headers.iter().any(|(name, value)| name == COMMAND_ID && *value == id)
        };
        Ok(messages.first().filter(|record| is_it(record)).map(|record| record.sequence))
    }
}

const COMMAND_ID: &str = "Command-Id";

/// Builds the webhook deliveries of an empty database and drops those that were made before the
/// newest backup; returns how many are due. Nothing may send until then.
///
/// # Errors
/// When a server or the store fails, or there is no backup.
pub async fn settle_newest(
    repository: &Repository,
    database: &Database,
    log: &Log,
    codec: &Codec,
) -> Result<u64, BackupError> {
    let newest = repository.newest(None).await?;
    let newest = newest.ok_or_else(|| BackupError::refused("there is no backup in this store"))?;
    settle(repository, &newest.vault, database, log, codec).await
}

pub(crate) async fn settle(
    repository: &Repository,
    vault: &VaultObject,
    database: &Database,
    log: &Log,
    codec: &Codec,
) -> Result<u64, BackupError> {
    let known = Vault::load(repository, vault).await?.deliveries;
    let projection = Webhooks::new(log.clone());
    Runner::new(database.clone(), log.clone(), codec.clone(), projection).catch_up().await?;
    ffapi_nats::failpoint::hit("restore.before_settled");
    Ok(delivery_queue::settle_deliveries(database, &known).await?)
}

/// Appends what the archive of a database has after a sequence, and the log does not have yet.
pub(crate) async fn from_archive(
    nats: &Nats,
    database: &Database,
    sequence: u64,
) -> Result<(), BackupError> {
    let stream = RawStream::new(nats.clone(), EVENTS);
    let mut last = stream.bounds().await?.last.max(sequence);
    loop {
        let messages = archive::page(database, last).await?;
        if messages.is_empty() {
            return Ok(());
        }
        let at = now().as_millis();
        let record = |message: Message| Record {
            sequence: message.sequence,
            subject: message.subject,
            at,
            // What finds a repeated command is in the payload too.
            headers: vec![],
            payload: message.payload,
        };
        let records: Vec<Record> = messages.into_iter().map(record).collect();
        let mut expected = last;
        for record in &records {
            expected = expected.saturating_add(1);
            if record.sequence != expected {
                return Err(BackupError::refused(format!("the archive has no message {expected}")));
            }
        }
        last = stream.append(last, &records).await?;
    }
}

/// The vault of the newest backup of all.
pub(crate) async fn newest_vault(
    repository: &Repository,
    manifest: &Manifest,
) -> Result<VaultObject, BackupError> {
    let newest = repository.newest(None).await?;
    Ok(newest.map_or_else(|| manifest.vault.clone(), |newest| newest.vault))
}

/// Writes what the streams do not have yet.
#[derive(Clone, Copy)]
pub(crate) struct Filling<'a> {
    pub(crate) repository: &'a Repository,
    pub(crate) nats: &'a Nats,
    pub(crate) manifest: &'a Manifest,
    /// Stream sequence of the last message of the log.
    pub(crate) sequence: u64,
}

impl Filling<'_> {
    /// Writes the vault.
    pub(crate) async fn vault(&self, object: &VaultObject) -> Result<(), BackupError> {
        let vault = Vault::load(self.repository, object).await?;
        // Its sequences are generations of data keys, so none may be used again.
        Filler::open(self.nats, VAULT, vault.last).await?.add(vault.records).await
    }

    /// Writes these of [`STREAMS`].
    pub(crate) async fn streams(&self, streams: &[&'static str]) -> Result<(), BackupError> {
        let mut last_note = 0;
        let until = self.until().await?;
        for stream in streams {
            let wanted = Wanted { filling: *self, stream, until, last_note };
            let written = self.stream(stream, |record| wanted.holds(record)).await?;
            if *stream == AUDIT {
                last_note = written;
            }
        }
        Ok(())
    }

    /// Writes the wanted records of one stream; returns the sequence of the last one.
    async fn stream(
        &self,
        stream: &'static str,
        wanted: impl Fn(&Record) -> bool,
    ) -> Result<u64, BackupError> {
        let chunks = self.manifest.chunks(stream);
        // The audit stream discards its oldest messages; the others begin with 1.
        let first = chunks.first().filter(|_| stream == AUDIT).map_or(1, |chunk| chunk.first);
        let mut filler = Filler::open(self.nats, stream, first.saturating_sub(1)).await?;
        let (stored, sequence) = (filler.stored, self.sequence);
        let is_stored = |chunk: &&Chunk| stream == EVENTS && chunk.last <= stored;
        let is_later = |chunk: &&Chunk| stream == EVENTS && chunk.first > sequence;
        let skipped = chunks.iter().take_while(is_stored).last();
        filler.written = skipped.map_or(filler.written, |chunk| chunk.last);
        let mut chunks =
            chunks.iter().skip_while(is_stored).take_while(|chunk| !is_later(chunk)).cloned();
        let mut next = chunks.next().map(|chunk| load_ahead(self.repository, stream, chunk));
        while let Some(loading) = next.take() {
            let mut records = loading.await.map_err(std::io::Error::other)??;
            // The next chunk is read while this one is written.
            next = chunks.next().map(|chunk| load_ahead(self.repository, stream, chunk));
            records.retain(&wanted);
            filler.add(records).await?;
        }
        Ok(filler.written)
    }

    /// When the last message of the log was stored, in milliseconds; without limit if the whole
    /// backup is restored.
    async fn until(&self) -> Result<u64, BackupError> {
        if self.sequence >= self.manifest.sequence {
            return Ok(u64::MAX);
        }
        let chunks = self.manifest.chunks(EVENTS).iter();
        let Some(chunk) = chunks.rev().find(|chunk| chunk.first <= self.sequence) else {
            return Ok(0);
        };
        let records = chunk::load(self.repository, EVENTS, chunk).await?;
        let last = records.iter().rfind(|record| record.sequence <= self.sequence);
        Ok(last.map_or(0, |record| record.at))
    }
}

/// Which records of a stream belong to the restored position.
struct Wanted<'a> {
    filling: Filling<'a>,
    stream: &'static str,
    until: u64,
    /// Stream sequence of the last audit record that is restored.
    last_note: u64,
}

impl Wanted<'_> {
    fn holds(&self, record: &Record) -> bool {
        let Filling { manifest, sequence, .. } = self.filling;
        match self.stream {
            EVENTS => record.sequence <= sequence,
            ANCHORS => serde_json::from_slice::<Anchor>(&record.payload).is_ok_and(|anchor| {
                let is_log = anchor.of.table() == "archive";
                anchor.sequence <= if is_log { sequence } else { self.last_note }
            }),
            IDEM => {
                let oldest = manifest.at.as_millis().saturating_sub(IDEM_MILLIS);
                (oldest..=self.until).contains(&record.at)
            }
            _ => record.at <= self.until,
        }
    }
}

fn load_ahead(
    repository: &Repository,
    stream: &'static str,
    chunk: Chunk,
) -> JoinHandle<Result<Vec<Record>, BackupError>> {
    let repository = repository.clone();
    tokio::spawn(async move { chunk::load(&repository, stream, &chunk).await })
}

/// Writes the records of one stream, after those that an interrupted restore wrote.
struct Filler {
    stream: RawStream,
    /// Sequence of the last message that the stream had at the start.
    stored: u64,
    /// Sequence of the last record that is dealt with.
    written: u64,
}

impl Filler {
    /// Continues a stream, or begins an empty one after the sequence `base`.
    async fn open(nats: &Nats, stream: &'static str, base: u64) -> Result<Self, BackupError> {
        let stream = RawStream::new(nats.clone(), stream);
        let mut stored = stream.bounds().await?.last;
        if stored < base {
            stream.skip_to(base).await?;
            stored = base;
        }
        Ok(Self { stream, stored, written: base })
    }

    async fn add(&mut self, records: Vec<Record>) -> Result<(), BackupError> {
        let already = self.stored.saturating_sub(self.written);
        let already = usize::try_from(already).unwrap_or(usize::MAX).min(records.len());
        let rest = records.get(already..).unwrap_or_default();
        self.written = self.written.saturating_add(already as u64);
        self.written = self.stream.append(self.written, rest).await?;
        ffapi_nats::failpoint::hit(format_args!("restore.after_chunk.{}", self.stream.name()));
        Ok(())
    }
}
