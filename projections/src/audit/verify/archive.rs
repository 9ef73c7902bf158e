//! Compares the archive with the log and with its own hash chain.

use std::collections::BTreeSet;

use ffapi_nats::{Codec, Log, Message};

use super::{Hashes, Link, Verdict, decided::DecisionVerifier, links, verified_end};
use crate::{Database, ProjectionError, anchor::HashChain, archive::row_hash, storable};

const PAGE_SIZE: u64 = 1_000;

/// Checks every row; returns the hashes at the wanted sequences.
pub(super) async fn compare(
    database: &Database,
    log: &Log,
    codec: &Codec,
    wanted: &BTreeSet<u64>,
    verdict: &mut Verdict,
) -> Result<Hashes, ProjectionError> {
    let last = log.last_sequence().await?;
    let end = verified_end(database, HashChain::Archive, last, verdict).await?;
    let mut hashes = Hashes::new();
    let mut reader = log.follow(1);
    let (mut hash, mut at) = (Vec::new(), 0_u64);
    let mut decisions = DecisionVerifier::open(database, end, verdict).await?;
    while at < end {
        let rows = links(database, HashChain::Archive, at, 1_000).await?;
        let to = at.saturating_add(PAGE_SIZE).min(end);
        while at < to {
            at = at.saturating_add(1);
            let message = reader.next().await;
            let row = rows.get(&at);
            check_row(&message, row, &hash, verdict);
            // The chain continues from the stored hash, so that one fault is reported once.
            hash = match row {
                Some(row) => row.hash.clone(),
                None => row_hash(&hash, at, &storable::text(&message.subject), &message.payload),
            };
            if let Some(row) = row.filter(|_| wanted.contains(&at)) {
                hashes.insert(at, hex::encode(&row.hash));
            }
            decisions.expect(codec, &message, verdict).await?;
            verdict.rows = verdict.rows.saturating_add(1);
        }
        decisions.compare(to, verdict).await?;
    }
    Ok(hashes)
}

fn check_row(message: &Message, row: Option<&Link>, previous_hash: &[u8], verdict: &mut Verdict) {
    let name = format!("archive {}", message.sequence);
    let Some(row) = row else {
        verdict.fault(name, "it is missing, and the log has it");
        return;
    };
    let same =
        row.subject == storable::text(&message.subject) && row.payload == message.payload.as_ref();
    if !same {
        verdict.fault(name, "it differs from the message in the log");
    } else if row.hash != row_hash(previous_hash, message.sequence, &row.subject, &row.payload) {
        verdict.fault(name, "its hash does not follow from the row before it");
    }
}
