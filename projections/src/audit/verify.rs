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
    anchor::{Anchor, Chained, Notary},
};

/// Something that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The table, and the sequence of the row, like `archive 42`; `log 42` for a message.
    pub row: String,
    /// What was seen.
    pub why: String,
}

/// What became of looking at everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Rows looked at.
    pub rows: u64,
    /// Signed anchors that were found to hold.
    pub anchors: u64,
    /// What is wrong; at most a hundred.
    pub faults: Vec<Fault>,
}

const MOST: usize = 100;

impl Verdict {
    fn fault(&mut self, row: impl Into<String>, why: impl Into<String>) {
        if self.faults.len() < MOST {
            self.faults.push(Fault { row: row.into(), why: why.into() });
        }
    }
}

/// A row of a chain.
#[derive(FromRow)]
struct Link {
    sequence: i64,
    subject: String,
    payload: Vec<u8>,
    hash: Vec<u8>,
}

/// Hashes in hex, by the sequence at which they stand.
type Hashes = BTreeMap<u64, String>;

/// Compares the archive with its chain, its anchors and the log, the notes with theirs, and the audit's
/// rows with what they were made of. What cannot be read is a fault, and the rest is looked at all the same.
///
/// # Errors
/// When the database or the log does not answer.
pub async fn verify(
    database: &Database,
    log: &Log,
    codec: &Codec,
    notary: &Notary,
) -> Result<Verdict, ProjectionError> {
    let mut verdict = Verdict::default();
    let anchors = signed(notary.anchors().await?, notary, &mut verdict);
    let wanted = |of: Chained| {
        let own = anchors.iter().filter(|anchor| anchor.of == of);
        own.map(|anchor| anchor.sequence).collect()
    };
    let (of_archive, of_notes) = (wanted(Chained::Archive), wanted(Chained::AuditNote));
    let archived = archive::compare(database, log, codec, &of_archive, &mut verdict).await?;
    let noted = noted::compare(database, log, codec, &of_notes, &mut verdict).await?;
    outside::find(database, log, &mut verdict).await?;
    for anchor in anchors {
        let row = format!("{} {}", anchor.of.table(), anchor.sequence);
        let hashes = match anchor.of {
            Chained::Archive => &archived,
            Chained::AuditNote => &noted,
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

fn signed(all: Vec<Anchor>, notary: &Notary, verdict: &mut Verdict) -> Vec<Anchor> {
    let holds = |anchor: &Anchor| {
        let holds = notary.holds(anchor);
        if !holds {
            verdict.fault(format!("anchor {}", anchor.sequence), "its signature is not ours");
        }
        holds
    };
    let mut all = all;
    all.retain(holds);
    all
}

/// Up to where a table is to be as its stream: as far as its read model says that it is, or as far as its
/// rows go if that is more. Where the two differ within the stream, that is a fault.
async fn reach(
    database: &Database,
    of: Chained,
    last: u64,
    verdict: &mut Verdict,
) -> Result<u64, ProjectionError> {
    // One statement sees one state of both tables.
    let statement = match of {
        Chained::Archive => {
            "SELECT (SELECT sequence FROM projection_checkpoint WHERE name = 'archive'),
                    (SELECT max(sequence) FROM archive WHERE sequence <= $1)"
        }
        Chained::AuditNote => {
            "SELECT (SELECT sequence FROM projection_checkpoint WHERE name = 'audit_note'),
                    (SELECT max(sequence) FROM audit_note WHERE sequence <= $1)"
        }
    };
    let (told, found): (Option<i64>, Option<i64>) = sqlx::query_as(statement)
        .bind(i64::try_from(last).unwrap_or(i64::MAX))
        .fetch_one(&database.pool)
        .await?;
    let unsigned = |n: Option<i64>| u64::try_from(n.unwrap_or(0)).unwrap_or(0);
    let (told, found) = (unsigned(told), unsigned(found));
    let name = || format!("projection_checkpoint {}", of.table());
    if told > last {
        // Beyond the end: what was appended since this was asked is there by now, or nothing is.
        return Ok(last);
    }
    if told != found {
        verdict.fault(name(), format!("it is at {told}, and the rows end at {found}"));
    }
    Ok(told.max(found))
}

async fn links(
    database: &Database,
    of: Chained,
    after: u64,
    limit: i64,
) -> Result<BTreeMap<u64, Link>, ProjectionError> {
    let rows: Vec<Link> = sqlx::query_as(match of {
        Chained::Archive => {
            "SELECT sequence, subject, payload, hash FROM archive
             WHERE sequence > $1 ORDER BY sequence LIMIT $2"
        }
        Chained::AuditNote => {
            "SELECT sequence, subject, payload, hash FROM audit_note
             WHERE sequence > $1 ORDER BY sequence LIMIT $2"
        }
    })
    .bind(i64::try_from(after).unwrap_or(i64::MAX))
    .bind(limit)
    .fetch_all(&database.pool)
    .await?;
    let number = |n: i64| u64::try_from(n).unwrap_or(0);
    Ok(rows.into_iter().map(|row| (number(row.sequence), row)).collect())
}
