use std::collections::{BTreeMap, BTreeSet};

use nats::{Codec, Log, Message};
use serde::Serialize;
use sqlx::FromRow;

use super::{AuditRow, COLUMNS, decisions, notes};
use crate::{
    Database, ProjectionError,
    anchor::{Anchor, Chained, Notary},
    archive::chain,
};

/// Something that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The table, and the sequence of the row, like `archive 42`.
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

#[derive(FromRow)]
struct Link {
    sequence: i64,
    subject: String,
    payload: Vec<u8>,
    hash: Vec<u8>,
}

/// Compares the archive with its chain, its anchors and the log, and the audit's rows with what they
/// were made of.
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
        own.map(|anchor| anchor.sequence).collect::<BTreeSet<u64>>()
    };
    let archived = archive(database, log, codec, (&wanted(Chained::Archive), &mut verdict)).await?;
    let noted = noted(database, codec, (&wanted(Chained::AuditNote), &mut verdict)).await?;
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

/// Looks at the archive beside the log; answers the hashes at the wanted sequences.
async fn archive(
    database: &Database,
    log: &Log,
    codec: &Codec,
    (wanted, verdict): (&BTreeSet<u64>, &mut Verdict),
) -> Result<BTreeMap<u64, String>, ProjectionError> {
    let checkpoint: Option<i64> =
        sqlx::query_scalar("SELECT sequence FROM projection_checkpoint WHERE name = 'archive'")
            .fetch_optional(&database.pool)
            .await?;
    let end = u64::try_from(checkpoint.unwrap_or(0)).unwrap_or(0);
    let mut hashes = BTreeMap::new();
    let mut reader = log.follow(1);
    let (mut hash, mut at) = (Vec::new(), 0_u64);
    let mut decided = Decided::open(database);
    while at < end {
        let rows = links(database, "archive", at, 1_000).await?;
        let to = at.saturating_add(1_000).min(end);
        while at < to {
            at = at.saturating_add(1);
            let message = reader.next().await;
            let row = rows.get(&at);
            compare(&message, row, &hash, verdict);
            // The chain goes on from what stands there, so that one fault is told once.
            hash = match row {
                Some(row) => row.hash.clone(),
                None => chain(&hash, at, &message.subject, &message.payload),
            };
            if let Some(row) = row.filter(|_| wanted.contains(&at)) {
                hashes.insert(at, hex::encode(&row.hash));
            }
            decided.expect(codec, &message).await?;
            verdict.rows = verdict.rows.saturating_add(1);
        }
        decided.compare(to, verdict).await?;
    }
    for (sequence, _) in links(database, "archive", end, 100).await? {
        if log.at(sequence).await?.is_none() {
            verdict.fault(format!("archive {sequence}"), "the log has no such message");
        }
    }
    Ok(hashes)
}

fn compare(message: &Message, row: Option<&Link>, before: &[u8], verdict: &mut Verdict) {
    let name = format!("archive {}", message.sequence);
    let Some(row) = row else {
        verdict.fault(name, "it is missing, and the log has it");
        return;
    };
    let same = row.subject == message.subject && row.payload == message.payload.as_ref();
    if !same {
        verdict.fault(name, "it is not what the log has");
    } else if row.hash != chain(before, message.sequence, &row.subject, &row.payload) {
        verdict.fault(name, "its hash does not follow from the row before it");
    }
}

async fn links(
    database: &Database,
    table: &'static str,
    after: u64,
    limit: i64,
) -> Result<BTreeMap<u64, Link>, ProjectionError> {
    let rows: Vec<Link> = sqlx::query_as(match table {
        "archive" => {
            "SELECT sequence, subject, payload, hash FROM archive
             WHERE sequence > $1 ORDER BY sequence LIMIT $2"
        }
        _ => {
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

/// The rows of decisions, beside what the log makes of them.
struct Decided<'a> {
    database: &'a Database,
    expected: BTreeMap<(i64, i32), AuditRow>,
    from: u64,
}

impl<'a> Decided<'a> {
    const fn open(database: &'a Database) -> Self {
        Self { database, expected: BTreeMap::new(), from: 0 }
    }

    async fn expect(&mut self, codec: &Codec, message: &Message) -> Result<(), ProjectionError> {
        let rows = decisions::rows(codec, message).await?;
        self.expected.extend(rows.into_iter().map(|row| ((row.sequence, row.index), row)));
        Ok(())
    }

    async fn compare(&mut self, to: u64, verdict: &mut Verdict) -> Result<(), ProjectionError> {
        let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let query = format!(
            "SELECT 'decision' AS source, sequence, index, {COLUMNS} FROM audit_decision
             WHERE sequence > $1 AND sequence <= $2"
        );
        let found: Vec<AuditRow> = sqlx::query_as(sqlx::AssertSqlSafe(query))
            .bind(signed(self.from))
            .bind(signed(to))
            .fetch_all(&self.database.pool)
            .await?;
        let checkpoint: Option<i64> = sqlx::query_scalar(
            "SELECT sequence FROM projection_checkpoint WHERE name = 'audit_decision'",
        )
        .fetch_optional(&self.database.pool)
        .await?;
        let mut expected = std::mem::take(&mut self.expected);
        for row in found {
            let name = format!("audit_decision {}-{}", row.sequence, row.index);
            verdict.rows = verdict.rows.saturating_add(1);
            match expected.remove(&(row.sequence, row.index)) {
                Some(ours) if ours == row => {}
                Some(_) => verdict.fault(name, "it is not what the log makes of it"),
                None => verdict.fault(name, "the log has no such decision"),
            }
        }
        for (sequence, index) in expected.into_keys() {
            if checkpoint.is_some_and(|checkpoint| checkpoint >= sequence) {
                let name = format!("audit_decision {sequence}-{index}");
                verdict.fault(name, "it is missing, and the log has it");
            }
        }
        self.from = to;
        Ok(())
    }
}

/// Looks at the notes' chain, and at each row beside the bytes that it was made of; answers the hashes at
/// the wanted sequences.
async fn noted(
    database: &Database,
    codec: &Codec,
    (wanted, verdict): (&BTreeSet<u64>, &mut Verdict),
) -> Result<BTreeMap<u64, String>, ProjectionError> {
    let mut hashes = BTreeMap::new();
    let (mut hash, mut after, mut expected) = (Vec::new(), 0, None::<u64>);
    loop {
        let rows = links(database, "audit_note", after, 1_000).await?;
        let Some(last) = rows.keys().next_back().copied() else { return Ok(hashes) };
        for (sequence, link) in rows {
            let name = format!("audit_note {sequence}");
            verdict.rows = verdict.rows.saturating_add(1);
            if expected.is_some_and(|expected| expected != sequence) {
                verdict.fault(name.clone(), "a row before it is missing");
            } else if link.hash != chain(&hash, sequence, &link.subject, &link.payload) {
                verdict.fault(name.clone(), "its hash does not follow from the row before it");
            }
            let message = Message {
                sequence,
                subject: link.subject,
                payload: link.payload.into(),
                pending: 0,
            };
            let made = notes::row(codec, &message).await;
            if made.ok().as_ref() != shown(database, sequence).await?.as_ref() {
                verdict.fault(name, "it is not what its own bytes say");
            }
            if wanted.contains(&sequence) {
                hashes.insert(sequence, hex::encode(&link.hash));
            }
            (hash, expected) = (link.hash, Some(sequence.saturating_add(1)));
        }
        after = last;
    }
}

async fn shown(database: &Database, sequence: u64) -> Result<Option<AuditRow>, ProjectionError> {
    let query = format!(
        "SELECT 'note' AS source, sequence, 0 AS index, {COLUMNS} FROM audit_note
         WHERE sequence = $1"
    );
    let row = sqlx::query_as(sqlx::AssertSqlSafe(query))
        .bind(i64::try_from(sequence).unwrap_or(i64::MAX))
        .fetch_optional(&database.pool)
        .await?;
    Ok(row)
}
