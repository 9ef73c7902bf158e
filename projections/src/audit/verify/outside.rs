//! Rows at places that their stream does not have: before its beginning, or behind its end.

use ffapi_nats::Log;
use sqlx::AssertSqlSafe;

use super::{MOST, Verdict};
use crate::{Database, ProjectionError};

/// Names them, in every table that the trail rests on.
pub(super) async fn find(
    database: &Database,
    log: &Log,
    verdict: &mut Verdict,
) -> Result<(), ProjectionError> {
    let notes = log.notes();
    for (table, name, stream, which) in [
        ("archive", "'archive'", log, "true"),
        ("audit_decision", "'audit_decision'", log, "true"),
        ("audit_note", "'audit_note'", &notes, "true"),
        ("projection_checkpoint", "name", log, "name IN ('archive', 'audit_decision')"),
        ("projection_checkpoint", "name", &notes, "name = 'audit_note'"),
    ] {
        // Made of this module's own words only. The farthest come first: what is appended meanwhile does
        // not push them out.
        let query = format!(
            "SELECT DISTINCT sequence, {name} FROM {table}
             WHERE {which} AND (sequence < $1 OR sequence > $2)
             ORDER BY sequence DESC LIMIT {MOST}"
        );
        // A checkpoint before the first message is at 0.
        let least = i64::from(table != "projection_checkpoint");
        let before = stream.last_sequence().await?;
        let rows: Vec<(i64, String)> = sqlx::query_as(AssertSqlSafe(query))
            .bind(least)
            .bind(i64::try_from(before).unwrap_or(i64::MAX))
            .fetch_all(&database.pool)
            .await?;
        if rows.is_empty() {
            continue;
        }
        let last = i64::try_from(stream.last_sequence().await?).unwrap_or(i64::MAX);
        for (sequence, name) in rows {
            // Of a checkpoint its name says more than where it stands.
            let row = if table == name {
                format!("{table} {sequence}")
            } else {
                format!("{table} {name}")
            };
            if sequence < least {
                verdict.fault(row, format!("it is at {sequence}, before the log begins"));
            } else if sequence > last {
                verdict.fault(row, format!("it is at {sequence}, and the log ends at {last}"));
            }
        }
    }
    Ok(())
}
