use std::collections::BTreeSet;

use ffapi_embedded::{NatsServer, Postgres};
use ffapi_nats::{
    Codec, Log, MasterKeys, Nats, NatsConfig, RawStream, SignedHeads, Vault as OpenVault,
    topology::{self, EVENTS, LogIdentity},
};
use ffapi_projections::{
    AnchorVerifier, Database, PostgresConfig, archive::row_hash, built_digest,
};

use crate::{
    BackupError, Manifest, chunk,
    create::{PAGE_BYTES, STREAMS},
    repository::Repository,
    restore::{Filling, newest_vault},
    vault::Vault,
};

/// What a verification found.
#[derive(Debug, Default)]
pub struct Verified {
    /// Messages of all streams.
    pub messages: u64,
    /// Bytes of all objects.
    pub bytes: u64,
    /// Read models that were built and compared.
    pub read_models: usize,
    /// Signed heads of the log's hash chain that were compared.
    pub anchors: usize,
    /// What is wrong; empty for a good backup.
    pub faults: Vec<String>,
}

/// The secrets that a verification needs.
#[derive(Debug, Clone)]
pub struct VerificationKeys {
    /// The master keys of the vault.
    pub master: MasterKeys,
    /// The public keys of the signed heads; they are not compared without.
    pub verifying: Vec<[u8; 32]>,
}

/// Private servers in a temporary folder, deleted when dropped. Must be started on a thread that
/// lives as long as they should.
pub(crate) struct Scratch {
    pub(crate) nats: Nats,
    pub(crate) database: Database,
    _servers: (NatsServer, Postgres),
    _folder: tempfile::TempDir,
}

impl Scratch {
    pub(crate) async fn start() -> Result<Self, BackupError> {
        let folder = ffapi_embedded::temporary_folder()?;
        let server = NatsServer::start(&folder.path().join("nats"))?;
        let postgres = Postgres::start(folder.path())?;
        let nats = Nats::connect(&NatsConfig { url: server.url() }).await?;
        let config = PostgresConfig { url: postgres.url(), max_connections: 4 };
        let database = Database::connect(&config)?;
        database.migrate().await?;
        Ok(Self { nats, database, _servers: (server, postgres), _folder: folder })
    }
}

/// Reads every object of a backup, restores it into private servers, and compares hash chain, counts
/// and read models with those of the service when the backup was made.
///
/// # Errors
/// When the store or a private server fails. What is wrong with the backup is in the result.
pub async fn verify(
    repository: &Repository,
    manifest: &Manifest,
    keys: &VerificationKeys,
) -> Result<Verified, BackupError> {
    let mut verified = Verified { bytes: manifest.bytes(), ..Verified::default() };
    check_objects(repository, manifest, &mut verified).await?;
    if !verified.faults.is_empty() {
        return Ok(verified);
    }
    let scratch = Scratch::start().await?;
    match Box::pin(compare(repository, manifest, keys, &scratch, &mut verified)).await {
        Err(error @ (BackupError::Damaged { .. } | BackupError::WrongIdentity { .. })) => {
            verified.faults.push(error.to_string());
        }
        outcome => outcome?,
    }
    Ok(verified)
}

/// Reads every chunk: all must be there, unchanged and in order.
async fn check_objects(
    repository: &Repository,
    manifest: &Manifest,
    verified: &mut Verified,
) -> Result<(), BackupError> {
    for stream in STREAMS {
        let mut next = None;
        for part in manifest.chunks(stream) {
            match chunk::load(repository, stream, part).await {
                Ok(records) => {
                    verified.messages = verified.messages.saturating_add(records.len() as u64);
                }
                Err(error @ BackupError::Damaged { .. }) => verified.faults.push(error.to_string()),
                Err(error) => return Err(error),
            }
            let is_gap = stream == EVENTS && next.unwrap_or(1) != part.first;
            if is_gap || next.is_some_and(|next| part.first < next) {
                let fault = format!("{stream}: {} does not follow the chunk before", part.key);
                verified.faults.push(fault);
            }
            next = Some(part.last.saturating_add(1));
        }
    }
    Ok(())
}

async fn compare(
    repository: &Repository,
    manifest: &Manifest,
    keys: &VerificationKeys,
    scratch: &Scratch,
    verified: &mut Verified,
) -> Result<(), BackupError> {
    let nats = &scratch.nats;
    topology::begin_restore(nats, "verification").await?;
    // With that of the backup, as the read models were; it may be deleted already.
    let vault = match Vault::load(repository, &manifest.vault).await {
        Ok(_) => manifest.vault.clone(),
        Err(BackupError::Damaged { .. }) => newest_vault(repository, manifest).await?,
        Err(error) => return Err(error),
    };
    // The read models are compared at the positions at which they were, in order.
    let mut stops: BTreeSet<u64> =
        manifest.read_models.iter().map(|digest| digest.sequence).collect();
    stops.retain(|stop| *stop <= manifest.sequence);
    stops.insert(manifest.sequence);
    let mut opened = None;
    for stop in stops {
        let filling = Filling { repository, nats, manifest, sequence: stop };
        if opened.is_none() {
            filling.vault(&vault).await?;
        }
        filling.streams(&[EVENTS]).await?;
        if opened.is_none() {
            let identity = LogIdentity { log_id: manifest.log_id, epoch: manifest.epoch };
            topology::end_restore(nats, &identity).await?;
            let codec = Codec::new(OpenVault::open_with(nats, &keys.master).await?);
            opened = Some((Log::open(nats.clone()).await?, codec));
        }
        let Some((log, codec)) = &opened else { continue };
        for expected in manifest.read_models.iter().filter(|digest| digest.sequence == stop) {
            let name = &expected.name;
            let found = Box::pin(built_digest(name, &scratch.database, log, codec)).await?;
            verified.read_models = verified.read_models.saturating_add(1);
            if found.as_ref() != Some(expected) {
                let fault = format!("read model {name} is {found:?} where it was {expected:?}");
                verified.faults.push(fault);
            }
        }
    }
    let filling = Filling { repository, nats, manifest, sequence: manifest.sequence };
    filling.streams(&STREAMS).await?;
    compare_chain(manifest, keys, nats, verified).await
}

/// Computes the hash chain of the restored log, and compares it with the manifest and the anchors.
pub(crate) async fn compare_chain(
    manifest: &Manifest,
    keys: &VerificationKeys,
    nats: &Nats,
    verified: &mut Verified,
) -> Result<(), BackupError> {
    let heads = SignedHeads::new(nats.clone());
    let verifier = AnchorVerifier::new(keys.verifying.iter().copied(), heads)
        .map_err(|error| BackupError::refused(error.to_string()))?;
    let mut anchors = if keys.verifying.is_empty() { vec![] } else { verifier.anchors().await? };
    anchors.retain(|anchor| anchor.of.table() == "archive");
    let stream = RawStream::new(nats.clone(), EVENTS);
    let (mut hash, mut last) = (Vec::new(), 0);
    loop {
        let page = stream.page(last + 1, PAGE_BYTES).await?;
        if page.is_empty() {
            break;
        }
        for record in page {
            hash = row_hash(&hash, record.sequence, &record.subject, &record.payload);
            if record.sequence != last + 1 {
                verified.faults.push(format!("the log has no message {}", last + 1));
            }
            last = record.sequence;
            let here = hex::encode(&hash);
            let chunk = manifest.chunks(EVENTS).iter().find(|chunk| chunk.last == last);
            if chunk.is_some_and(|chunk| chunk.chain.as_deref() != Some(&here)) {
                verified.faults.push(format!("the hash chain differs at message {last}"));
            }
            for anchor in anchors.iter().filter(|anchor| anchor.sequence == last) {
                verified.anchors = verified.anchors.saturating_add(1);
                let is_signed = verifier.holds(anchor);
                if anchor.hash != here || !is_signed {
                    verified.faults.push(format!("message {last} is not what was signed"));
                }
            }
        }
    }
    if last != manifest.sequence {
        let fault = format!("the log ends at {last}, not at {}", manifest.sequence);
        verified.faults.push(fault);
    }
    Ok(())
}
