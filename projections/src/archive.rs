//! The archive: a second durable copy of every message, to prove that the log was not changed. Each
//! row is chained to the one before by SHA-256 over the stored bytes, ciphertext included.

use ffapi_nats::{Codec, Message};
use sha2::{Digest, Sha256};
use sqlx::PgConnection;

use crate::{Database, Projection, ProjectionError, anchor::HashChain, storable};

/// Writes the read model.
#[derive(Debug)]
pub struct Archive;

impl Projection for Archive {
    type Prepared = ();

    const NAME: &'static str = "archive";
    const TABLES: &'static [&'static str] = &["archive"];

    async fn apply(
        &self,
        transaction: &mut PgConnection,
        _: &Codec,
        batch: &[Message],
        _prepared: &(),
    ) -> Result<(), ProjectionError> {
        let Some(first) = batch.first() else { return Ok(()) };
        let mut hash = previous_hash(transaction, HashChain::Archive, first.sequence).await?;
        let subjects: Vec<_> =
            batch.iter().map(|message| storable::text(&message.subject)).collect();
        let mut hashes = Vec::with_capacity(batch.len());
        for (message, subject) in batch.iter().zip(&subjects) {
            hash = row_hash(&hash, message.sequence, subject, &message.payload);
            hashes.push(hash.clone());
        }
        let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let sequences: Vec<i64> = batch.iter().map(|message| signed(message.sequence)).collect();
        let payloads: Vec<&[u8]> = batch.iter().map(|message| message.payload.as_ref()).collect();
        sqlx::query(
            "INSERT INTO archive (sequence, subject, payload, hash)
             SELECT * FROM UNNEST($1::bigint[], $2::text[], $3::bytea[], $4::bytea[])",
        )
        .bind(sequences)
        .bind(subjects)
        .bind(payloads)
        .bind(hashes)
        .execute(transaction)
        .await?;
        Ok(())
    }
}

/// The hash of the last row before `sequence`, to which the next row is chained; empty for the
/// first.
pub(crate) async fn previous_hash(
    transaction: &mut PgConnection,
    of: HashChain,
    sequence: u64,
) -> Result<Vec<u8>, ProjectionError> {
    let hash = sqlx::query_scalar(match of {
        HashChain::Archive => {
            "SELECT hash FROM archive WHERE sequence < $1 ORDER BY sequence DESC LIMIT 1"
        }
        HashChain::AuditNote => {
            "SELECT hash FROM audit_note WHERE sequence < $1 ORDER BY sequence DESC LIMIT 1"
        }
    });
    let sequence = i64::try_from(sequence).unwrap_or(i64::MAX);
    let hash: Option<Vec<u8>> = hash.bind(sequence).fetch_optional(transaction).await?;
    Ok(hash.unwrap_or_default())
}

/// The hash of the row of a message, if there is one.
///
/// # Errors
/// When the database does not respond.
pub async fn hash_at(
    database: &Database,
    sequence: u64,
) -> Result<Option<Vec<u8>>, ProjectionError> {
    let hash = sqlx::query_scalar("SELECT hash FROM archive WHERE sequence = $1")
        .bind(i64::try_from(sequence).unwrap_or(i64::MAX))
        .fetch_optional(database.measured())
        .await?;
    Ok(hash)
}

/// Up to a thousand messages after a sequence: the second copy of the log.
///
/// # Errors
/// When the database does not respond.
pub async fn page(database: &Database, after: u64) -> Result<Vec<Message>, ProjectionError> {
    let rows: Vec<(i64, String, Vec<u8>)> = sqlx::query_as(
        "SELECT sequence, subject, payload FROM archive
         WHERE sequence > $1 ORDER BY sequence LIMIT 1000",
    )
    .bind(i64::try_from(after).unwrap_or(i64::MAX))
    .fetch_all(database.measured())
    .await?;
    let message = |(sequence, subject, payload): (i64, String, Vec<u8>)| Message {
        sequence: u64::try_from(sequence).unwrap_or(0),
        subject,
        payload: payload.into(),
        pending: 0,
    };
    Ok(rows.into_iter().map(message).collect())
}

/// The hash of a row: of the one before, and of its message.
pub fn row_hash(previous: &[u8], sequence: u64, subject: &str, payload: &[u8]) -> Vec<u8> {
    let mut hash = Sha256::new();
    hash.update(previous);
    hash.update(sequence.to_be_bytes());
    hash.update((subject.len() as u64).to_be_bytes());
    hash.update(subject);
    hash.update(payload);
    hash.finalize().to_vec()
}

/// Recomputes the whole chain; returns the number of messages, or `Err` with the sequence of the
/// first wrong one.
///
/// # Errors
/// When the database does not respond.
pub async fn verify(database: &Database) -> Result<Result<u64, u64>, ProjectionError> {
    type Row = (i64, String, Vec<u8>, Vec<u8>);
    let mut hash: Vec<u8> = Vec::new();
    let (mut after, mut count) = (0_i64, 0_u64);
    loop {
        let page: Vec<Row> = sqlx::query_as(
            "SELECT sequence, subject, payload, hash FROM archive
             WHERE sequence > $1 ORDER BY sequence LIMIT 1000",
        )
        .bind(after)
        .fetch_all(database.measured())
        .await?;
        if page.is_empty() {
            return Ok(Ok(count));
        }
        for (sequence, subject, payload, stored) in page {
            count = count.saturating_add(1);
            let at = u64::try_from(sequence).unwrap_or(0);
            hash = row_hash(&hash, at, &subject, &payload);
            // The log has no gaps, so its copy must have none.
            if hash != stored || at != count {
                return Ok(Err(at));
            }
            after = sequence;
        }
    }
}
