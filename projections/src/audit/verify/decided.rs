//! The rows of decisions, beside what the log makes of them.

use std::collections::{BTreeMap, BTreeSet};

use nats::{Codec, CodecError, Message};
use sqlx::AssertSqlSafe;

use super::{Verdict, readable::readable};
use crate::{
    AuditDecisions, Database, Projection, ProjectionError,
    audit::{AuditRow, COLUMNS, decisions},
    error::Flaw,
};

pub(super) struct Decided<'a> {
    database: &'a Database,
    expected: BTreeMap<(i64, i32), AuditRow>,
    from: u64,
    /// What the read model passed over.
    parked: BTreeSet<i64>,
}

impl<'a> Decided<'a> {
    pub(super) async fn open(database: &'a Database) -> Result<Self, ProjectionError> {
        let parked: Vec<i64> =
            sqlx::query_scalar("SELECT sequence FROM projection_parked WHERE name = $1")
                .bind(AuditDecisions::NAME)
                .fetch_all(&database.pool)
                .await?;
        let parked = parked.into_iter().collect();
        Ok(Self { database, expected: BTreeMap::new(), from: 0, parked })
    }

    /// Adds what a message makes. One that cannot be read is a fault of its own and makes nothing.
    pub(super) async fn expect(
        &mut self,
        codec: &Codec,
        message: &Message,
        verdict: &mut Verdict,
    ) -> Result<(), ProjectionError> {
        match readable(codec, message).await {
            Ok(()) => {}
            Err(CodecError::Unreadable(_)) => {
                verdict.fault(format!("log {}", message.sequence), Flaw::Unreadable.to_string());
                return Ok(());
            }
            Err(CodecError::Log(error)) => return Err(error.into()),
        }
        match decisions::rows(codec, message).await {
            Ok(rows) => {
                self.expected.extend(rows.into_iter().map(|row| ((row.sequence, row.index), row)));
                Ok(())
            }
            Err(ProjectionError::Poison { sequence, flaw }) => {
                verdict.fault(format!("log {sequence}"), flaw.to_string());
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    pub(super) async fn compare(
        &mut self,
        to: u64,
        verdict: &mut Verdict,
    ) -> Result<(), ProjectionError> {
        let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let query = format!(
            "SELECT 'decision' AS source, sequence, index, {COLUMNS} FROM audit_decision
             WHERE sequence > $1 AND sequence <= $2"
        );
        let found: Vec<AuditRow> = sqlx::query_as(AssertSqlSafe(query))
            .bind(signed(self.from))
            .bind(signed(to))
            .fetch_all(&self.database.pool)
            .await?;
        let checkpoint: Option<i64> =
            sqlx::query_scalar("SELECT sequence FROM projection_checkpoint WHERE name = $1")
                .bind(AuditDecisions::NAME)
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
                let parked = self.parked.contains(&sequence);
                let why = if parked {
                    "it is missing: its message is parked; `ffapi projections rebuild audit_decision` \
                     tries again"
                } else {
                    "it is missing, and the log has it"
                };
                verdict.fault(format!("audit_decision {sequence}-{index}"), why);
            }
        }
        self.from = to;
        Ok(())
    }
}
