//! The notes beside their own chain, beside the bytes that each row was made of, and beside what the stream
//! still has of them.

use std::collections::{BTreeMap, BTreeSet};

use ffapi_nats::{Codec, Log, Message};
use sqlx::AssertSqlSafe;

use super::{Hashes, Verdict, links, reach};
use crate::{
    Database, ProjectionError,
    anchor::Chained,
    archive::chain,
    audit::{AuditRow, COLUMNS, notes},
    storable,
};

const PAGE: usize = 1_000;

/// Looks at every row; answers the hashes at the wanted sequences.
pub(super) async fn compare(
    database: &Database,
    log: &Log,
    codec: &Codec,
    wanted: &BTreeSet<u64>,
    verdict: &mut Verdict,
) -> Result<Hashes, ProjectionError> {
    let stream = log.notes();
    let last = stream.last_sequence().await?;
    let end = reach(database, Chained::AuditNote, last, verdict).await?;
    let mut hashes = Hashes::new();
    let (mut hash, mut after, mut expected) = (Vec::new(), 0, None::<u64>);
    while after < end {
        let mut rows = links(database, Chained::AuditNote, after, 1_000).await?;
        rows.retain(|sequence, _| *sequence <= end);
        let Some(first) = rows.keys().next().copied() else { break };
        let held = stream.page("audit.>", first, PAGE).await?;
        let held: BTreeMap<u64, Message> =
            held.into_iter().map(|message| (message.sequence, message)).collect();
        for (sequence, link) in rows {
            let name = format!("audit_note {sequence}");
            verdict.rows = verdict.rows.saturating_add(1);
            if expected.is_some_and(|expected| expected != sequence) {
                verdict.fault(name.clone(), "a row before it is missing");
            } else if link.hash != chain(&hash, sequence, &link.subject, &link.payload) {
                verdict.fault(name.clone(), "its hash does not follow from the row before it");
            }
            // The oldest are forgotten there, and stand here alone.
            let other = held.get(&sequence).is_some_and(|message| {
                link.subject != storable::text(&message.subject)
                    || link.payload != message.payload.as_ref()
            });
            if other {
                verdict.fault(name.clone(), "it is not what was noted");
            }
            let (subject, payload) = (link.subject, link.payload.into());
            let message = Message { sequence, subject, payload, pending: 0 };
            let made = notes::row(codec, &message).await?;
            if made.action == notes::UNREADABLE {
                verdict.fault(name.clone(), "its bytes cannot be read");
            }
            if shown(database, sequence).await?.as_ref() != Some(&made) {
                verdict.fault(name, "it is not what its own bytes say");
            }
            if wanted.contains(&sequence) {
                hashes.insert(sequence, hex::encode(&link.hash));
            }
            (hash, expected) = (link.hash, Some(sequence.saturating_add(1)));
            after = sequence;
        }
    }
    Ok(hashes)
}

async fn shown(database: &Database, sequence: u64) -> Result<Option<AuditRow>, ProjectionError> {
    let query = format!(
        "SELECT 'note' AS source, sequence, 0 AS index, {COLUMNS} FROM audit_note
         WHERE sequence = $1"
    );
    let row = sqlx::query_as(AssertSqlSafe(query))
        .bind(i64::try_from(sequence).unwrap_or(i64::MAX))
        .fetch_optional(&database.pool)
        .await?;
    Ok(row)
}
