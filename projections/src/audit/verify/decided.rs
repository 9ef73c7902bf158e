//! Compares the rows of decisions with the rows computed from the log.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use ffapi_nats::{Codec, CodecError, Message};
use sqlx::AssertSqlSafe;

use super::{Verdict, readable::readable};
use crate::{
    AuditDecisions, Database, Projection, ProjectionError,
    audit::{AuditRow, COLUMNS, decisions},
    error::Flaw,
};

/// How long to wait until the rows are as far as the archive.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(5);
/// How often their checkpoint is checked.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

pub(super) struct DecisionVerifier<'a> {
    database: &'a Database,
    expected: BTreeMap<(i64, i32), AuditRow>,
    from: u64,
    /// Sequences that the read model parked.
    parked: BTreeSet<i64>,
}

impl<'a> DecisionVerifier<'a> {
    /// Starts comparing rows up to the archive's end. The checkpoint of the read model is in the
    /// database that is verified, and could be changed to hide missing rows. So it must reach the
    /// end of the archive, which was compared with the log; otherwise that is a fault.
    pub(super) async fn open(
        database: &'a Database,
        end: u64,
        verdict: &mut Verdict,
    ) -> Result<Self, ProjectionError> {
        let start = Instant::now();
        let end = i64::try_from(end).unwrap_or(i64::MAX);
        loop {
            let at = checkpoint(database).await?.unwrap_or(0);
            if at >= end {
                break;
            }
            if start.elapsed() >= CATCH_UP_TIMEOUT {
                let why = format!(
                    "it is at {at}, and the archive goes to {end}: rows in between are removed, or not \
                     written yet; verify again once a projector has caught up"
                );
                verdict.fault("projection_checkpoint audit_decision", why);
                break;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        let parked: Vec<i64> =
            sqlx::query_scalar("SELECT sequence FROM projection_parked WHERE name = $1")
                .bind(AuditDecisions::NAME)
                .fetch_all(database.measured())
                .await?;
        let parked = parked.into_iter().collect();
        Ok(Self { database, expected: BTreeMap::new(), from: 0, parked })
    }

    /// Adds the expected rows of a message. One that cannot be decoded is a fault, and has no rows.
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

    /// Compares the stored rows up to sequence `to` with the expected ones.
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
            .fetch_all(self.database.measured())
            .await?;
        let checkpoint = checkpoint(self.database).await?;
        let mut expected = std::mem::take(&mut self.expected);
        for row in found {
            let name = format!("audit_decision {}-{}", row.sequence, row.index);
            verdict.rows = verdict.rows.saturating_add(1);
            match expected.remove(&(row.sequence, row.index)) {
                Some(ours) if ours == row => {}
                Some(_) => verdict.fault(name, "it does not match its message in the log"),
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

/// The checkpoint of the rows.
async fn checkpoint(database: &Database) -> Result<Option<i64>, ProjectionError> {
    let at = sqlx::query_scalar("SELECT sequence FROM projection_checkpoint WHERE name = $1")
        .bind(AuditDecisions::NAME)
        .fetch_optional(database.measured())
        .await?;
    Ok(at)
}
