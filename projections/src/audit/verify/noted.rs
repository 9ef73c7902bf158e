//! Compares the notes with their hash chain, with the payload of each row, and with the messages
//! that are still in the stream.

use std::collections::{BTreeMap, BTreeSet};

use ffapi_nats::{Codec, Log, Message, subject};
use sqlx::AssertSqlSafe;

use super::{Hashes, Verdict, links, verified_end};
use crate::{
    Database, ProjectionError,
    anchor::HashChain,
    archive::row_hash,
    audit::{AuditRow, COLUMNS, notes},
    storable,
};

const PAGE_SIZE: usize = 1_000;

/// Checks every row; returns the hashes at the wanted sequences.
pub(super) async fn compare(
    database: &Database,
    log: &Log,
    codec: &Codec,
    wanted: &BTreeSet<u64>,
    verdict: &mut Verdict,
) -> Result<Hashes, ProjectionError> {
    let stream = log.notes();
    let last = stream.last_sequence().await?;
    let end = verified_end(database, HashChain::AuditNote, last, verdict).await?;
    let mut hashes = Hashes::new();
    let (mut hash, mut after, mut next) = (Vec::new(), 0, None::<u64>);
    while after < end {
        let mut rows = links(database, HashChain::AuditNote, after, 1_000).await?;
        rows.retain(|sequence, _| *sequence <= end);
        let Some(first) = rows.keys().next().copied() else { break };
        let stored = stream.page(subject::ALL_NOTES, first, PAGE_SIZE).await?;
        let stored: BTreeMap<u64, Message> =
            stored.into_iter().map(|message| (message.sequence, message)).collect();
        for (sequence, link) in rows {
            let name = format!("audit_note {sequence}");
            verdict.rows = verdict.rows.saturating_add(1);
            if next.is_some_and(|next| next != sequence) {
                verdict.fault(name.clone(), "a row before it is missing");
            } else if link.hash != row_hash(&hash, sequence, &link.subject, &link.payload) {
                verdict.fault(name.clone(), "its hash does not follow from the row before it");
            }
            // The stream discards its oldest messages; their rows can only be checked by the chain.
            let differs = stored.get(&sequence).is_some_and(|message| {
                link.subject != storable::text(&message.subject)
                    || link.payload != message.payload.as_ref()
            });
            if differs {
                verdict.fault(name.clone(), "it differs from the message in the audit stream");
            }
            let (subject, payload) = (link.subject, link.payload.into());
            let message = Message { sequence, subject, payload, pending: 0 };
            let expected_row = notes::row(codec, &message).await?;
            if expected_row.action == notes::UNREADABLE {
                verdict.fault(name.clone(), "its bytes cannot be read");
            }
            if stored_row(database, sequence).await?.as_ref() != Some(&expected_row) {
                verdict.fault(name, "it does not match its own payload");
            }
            if wanted.contains(&sequence) {
                hashes.insert(sequence, hex::encode(&link.hash));
            }
            (hash, next) = (link.hash, Some(sequence.saturating_add(1)));
            after = sequence;
        }
    }
    Ok(hashes)
}

/// The row of a note as it is stored.
async fn stored_row(
    database: &Database,
    sequence: u64,
) -> Result<Option<AuditRow>, ProjectionError> {
    let query = format!(
        "SELECT 'note' AS source, sequence, 0 AS index, {COLUMNS} FROM audit_note
         WHERE sequence = $1"
    );
    let row = sqlx::query_as(AssertSqlSafe(query))
        .bind(i64::try_from(sequence).unwrap_or(i64::MAX))
        .fetch_optional(database.measured())
        .await?;
    Ok(row)
}
