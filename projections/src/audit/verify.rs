mod archive;
mod decided;
mod noted;
mod outside;
mod readable;

use std::collections::BTreeMap;

use ffapi_nats::{Codec, Log};
use serde::Serialize;
use sqlx::FromRow;

use crate::{
    Database, ProjectionError,
    anchor::{Anchor, AnchorVerifier, HashChain},
};

/// A row or message that fails verification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The table, and the sequence of the row, like `archive 42`; `log 42` for a message.
    pub row: String,
    /// What is wrong with it.
    pub why: String,
}

/// The result of a verification.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Number of rows checked.
    pub rows: u64,
    /// Number of valid anchors whose hash matches.
    pub anchors: u64,
    /// The faults found; at most 100.
    pub faults: Vec<Fault>,
}

const MAX_FAULTS: usize = 100;

impl Verdict {
    fn fault(&mut self, row: impl Into<String>, why: impl Into<String>) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(Fault { row: row.into(), why: why.into() });
        }
    }
}

/// A row of a hash chain.
#[derive(FromRow)]
struct Link {
    sequence: i64,
    subject: String,
    payload: Vec<u8>,
    hash: Vec<u8>,
}

/// Row hashes in hex, by sequence.
type Hashes = BTreeMap<u64, String>;

/// Verifies the archive against its hash chain, its anchors and the log; the notes against their
/// hash chain, their anchors and the audit stream; and the audit rows against their messages. A
/// message that cannot be decoded is a fault; the verification continues with the others.
///
/// # Errors
/// When the database or the log does not respond.
pub async fn verify(
    database: &Database,
    log: &Log,
    codec: &Codec,
    notary: &AnchorVerifier,
) -> Result<Verdict, ProjectionError> {
    let mut verdict = Verdict::default();
    let anchors = valid_anchors(notary.anchors().await?, notary, &mut verdict);
    let wanted = |of: HashChain| {
        let own = anchors.iter().filter(|anchor| anchor.of == of);
        own.map(|anchor| anchor.sequence).collect()
    };
    let (of_archive, of_notes) = (wanted(HashChain::Archive), wanted(HashChain::AuditNote));
    let archived = archive::compare(database, log, codec, &of_archive, &mut verdict).await?;
    let noted = noted::compare(database, log, codec, &of_notes, &mut verdict).await?;
    outside::find(database, log, &mut verdict).await?;
    for anchor in anchors {
        let row = format!("{} {}", anchor.of.table(), anchor.sequence);
        let hashes = match anchor.of {
            HashChain::Archive => &archived,
            HashChain::AuditNote => &noted,
        };
        match hashes.get(&anchor.sequence) {
            Some(hash) if *hash == anchor.hash => {
                verdict.anchors = verdict.anchors.saturating_add(1);
            }
            Some(_) => verdict.fault(row, "its hash is not the one that was signed"),
            None => verdict.fault(row, "it is missing, and its hash was signed"),
        }
    }
    Ok(verdict)
}

/// The anchors with a valid signature; the others are faults.
fn valid_anchors(
    anchors: Vec<Anchor>,
    notary: &AnchorVerifier,
    verdict: &mut Verdict,
) -> Vec<Anchor> {
    let is_valid = |anchor: &Anchor| {
        let valid = notary.holds(anchor);
        if !valid {
            verdict.fault(format!("anchor {}", anchor.sequence), "its signature is not ours");
        }
        valid
    };
    let mut anchors = anchors;
    anchors.retain(is_valid);
    anchors
}

/// The sequence up to which a table must equal its stream: the checkpoint of its read model, or its
/// newest row if that is later. A difference between the two is a fault.
async fn verified_end(
    database: &Database,
    of: HashChain,
    last: u64,
    verdict: &mut Verdict,
) -> Result<u64, ProjectionError> {
    // A single statement, so that both tables are read in the same state.
    let statement = match of {
        HashChain::Archive => {
            "SELECT (SELECT sequence FROM projection_checkpoint WHERE name = 'archive'),
                    (SELECT max(sequence) FROM archive WHERE sequence <= $1)"
        }
        HashChain::AuditNote => {
            "SELECT (SELECT sequence FROM projection_checkpoint WHERE name = 'audit_note'),
                    (SELECT max(sequence) FROM audit_note WHERE sequence <= $1)"
        }
    };
    let (checkpoint, newest): (Option<i64>, Option<i64>) = sqlx::query_as(statement)
        .bind(i64::try_from(last).unwrap_or(i64::MAX))
        .fetch_one(database.measured())
        .await?;
    let unsigned = |n: Option<i64>| u64::try_from(n.unwrap_or(0)).unwrap_or(0);
    let (checkpoint, newest) = (unsigned(checkpoint), unsigned(newest));
    let name = || format!("projection_checkpoint {}", of.table());
    if checkpoint > last {
        // Beyond the end that was read before: either messages were appended since, or the
        // checkpoint is wrong, which `outside` reports.
        return Ok(last);
    }
    if checkpoint != newest {
        verdict.fault(name(), format!("it is at {checkpoint}, and the rows end at {newest}"));
    }
    Ok(checkpoint.max(newest))
}

async fn links(
    database: &Database,
    of: HashChain,
    after: u64,
    limit: i64,
) -> Result<BTreeMap<u64, Link>, ProjectionError> {
    let rows: Vec<Link> = sqlx::query_as(match of {
        HashChain::Archive => {
            "SELECT sequence, subject, payload, hash FROM archive
             WHERE sequence > $1 ORDER BY sequence LIMIT $2"
        }
        HashChain::AuditNote => {
            "SELECT sequence, subject, payload, hash FROM audit_note
             WHERE sequence > $1 ORDER BY sequence LIMIT $2"
        }
    })
    .bind(i64::try_from(after).unwrap_or(i64::MAX))
    .bind(limit)
    .fetch_all(database.measured())
    .await?;
    let number = |n: i64| u64::try_from(n).unwrap_or(0);
    Ok(rows.into_iter().map(|row| (number(row.sequence), row)).collect())
}
