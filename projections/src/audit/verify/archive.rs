//! The archive beside the log, and beside its own chain.

use std::collections::BTreeSet;

use ffapi_nats::{Codec, Log, Message};

use super::{Hashes, Link, Verdict, decided::Decided, links, reach};
use crate::{Database, ProjectionError, anchor::Chained, archive::chain, storable};

const PAGE: u64 = 1_000;

/// Looks at every row; answers the hashes at the wanted sequences.
pub(super) async fn compare(
    database: &Database,
    log: &Log,
    codec: &Codec,
    wanted: &BTreeSet<u64>,
    verdict: &mut Verdict,
) -> Result<Hashes, ProjectionError> {
    let last = log.last_sequence().await?;
    let end = reach(database, Chained::Archive, last, verdict).await?;
    let mut hashes = Hashes::new();
    let mut reader = log.follow(1);
    let (mut hash, mut at) = (Vec::new(), 0_u64);
    let mut decided = Decided::open(database, end, verdict).await?;
    while at < end {
        let rows = links(database, Chained::Archive, at, 1_000).await?;
        let to = at.saturating_add(PAGE).min(end);
        while at < to {
            at = at.saturating_add(1);
            let message = reader.next().await;
            let row = rows.get(&at);
            look_at(&message, row, &hash, verdict);
            // The chain goes on from what stands there, so that one fault is told once.
            hash = match row {
                Some(row) => row.hash.clone(),
                None => chain(&hash, at, &storable::text(&message.subject), &message.payload),
            };
            if let Some(row) = row.filter(|_| wanted.contains(&at)) {
                hashes.insert(at, hex::encode(&row.hash));
            }
            decided.expect(codec, &message, verdict).await?;
            verdict.rows = verdict.rows.saturating_add(1);
        }
        decided.compare(to, verdict).await?;
    }
    Ok(hashes)
}

fn look_at(message: &Message, row: Option<&Link>, before: &[u8], verdict: &mut Verdict) {
    let name = format!("archive {}", message.sequence);
    let Some(row) = row else {
        verdict.fault(name, "it is missing, and the log has it");
        return;
    };
    let same =
        row.subject == storable::text(&message.subject) && row.payload == message.payload.as_ref();
    if !same {
        verdict.fault(name, "it is not what the log has");
    } else if row.hash != chain(before, message.sequence, &row.subject, &row.payload) {
        verdict.fault(name, "its hash does not follow from the row before it");
    }
}
