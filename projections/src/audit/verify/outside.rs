//! Finds rows with sequences outside their stream: before its first or after its last message.

use ffapi_nats::Log;
use sqlx::AssertSqlSafe;

use super::{MAX_FAULTS, Verdict};
use crate::{Database, ProjectionError};

/// Reports them in every table of the audit trail.
pub(super) async fn find(
    database: &Database,
    log: &Log,
    verdict: &mut Verdict,
) -> Result<(), ProjectionError> {
    let notes = log.notes();
    for (table, name, stream, condition) in [
        ("archive", "'archive'", log, "true"),
        ("audit_decision", "'audit_decision'", log, "true"),
        ("audit_note", "'audit_note'", &notes, "true"),
        ("projection_checkpoint", "name", log, "name IN ('archive', 'audit_decision')"),
        ("projection_checkpoint", "name", &notes, "name = 'audit_note'"),
    ] {
        // Contains only constants. The largest sequences come first, so that rows of messages that
        // are appended meanwhile do not displace them.
        let query = format!(
            "SELECT DISTINCT sequence, {name} FROM {table}
             WHERE {condition} AND (sequence < $1 OR sequence > $2)
             ORDER BY sequence DESC LIMIT {MAX_FAULTS}"
        );
        // The checkpoint of a new read model is 0.
        let first = i64::from(table != "projection_checkpoint");
        let before = stream.last_sequence().await?;
        let rows: Vec<(i64, String)> = sqlx::query_as(AssertSqlSafe(query))
            .bind(first)
            .bind(i64::try_from(before).unwrap_or(i64::MAX))
            .fetch_all(database.measured())
            .await?;
        if rows.is_empty() {
            continue;
        }
        let last = i64::try_from(stream.last_sequence().await?).unwrap_or(i64::MAX);
        for (sequence, name) in rows {
            // A checkpoint is identified by its name, other rows by their sequence.
            let row = if table == name {
                format!("{table} {sequence}")
            } else {
                format!("{table} {name}")
            };
            if sequence < first {
                verdict.fault(row, format!("it is at {sequence}, before the log begins"));
            } else if sequence > last {
                verdict.fault(row, format!("it is at {sequence}, and the log ends at {last}"));
            }
        }
    }
    Ok(())
}
