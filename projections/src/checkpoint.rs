use ffapi_nats::{Log, LogError, topology::LogIdentity};
use sqlx::PgConnection;

use crate::{AuditNotes, Database, Projection, ProjectionError, Report};

/// The log that a read model is built from, and its position in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Name of the read model.
    pub name: String,
    /// Sequence of the last message applied; 0 for none.
    pub sequence: u64,
    /// Command id of that message; `None` if it cannot be decoded.
    pub command_id: Option<String>,
    log_id: String,
    epoch: i64,
}

impl Checkpoint {
    /// Loads it; creates it for a new read model.
    pub(crate) async fn load(
        connection: &mut PgConnection,
        name: &'static str,
        identity: &LogIdentity,
    ) -> Result<Self, ProjectionError> {
        sqlx::query(
            "INSERT INTO projection_checkpoint (name, log_id, epoch, sequence)
             VALUES ($1, $2, $3, 0) ON CONFLICT (name) DO NOTHING",
        )
        .bind(name)
        .bind(identity.log_id.to_string())
        .bind(i64::from(identity.epoch))
        .execute(&mut *connection)
        .await?;
        let (log_id, epoch, sequence, command_id): (String, i64, i64, Option<String>) =
            sqlx::query_as(
                "SELECT log_id, epoch, sequence, command_id
                 FROM projection_checkpoint WHERE name = $1",
            )
            .bind(name)
            .fetch_one(connection)
            .await?;
        let sequence = u64::try_from(sequence).unwrap_or(0);
        let checkpoint = Self { name: name.to_owned(), sequence, command_id, log_id, epoch };
        if checkpoint.log_id != identity.log_id.to_string()
            || checkpoint.epoch != i64::from(identity.epoch)
        {
            return Err(ProjectionError::Diverged {
                name,
                why: format!(
                    "its rows are of log {} epoch {}, this is log {} epoch {}",
                    checkpoint.log_id, checkpoint.epoch, identity.log_id, identity.epoch
                ),
            });
        }
        Ok(checkpoint)
    }

    /// Keeps it as it is until the end of the transaction; fails if another projector advanced it.
    pub(crate) async fn hold(&self, transaction: &mut PgConnection) -> Result<(), ProjectionError> {
        let held: Option<i32> = sqlx::query_scalar(
            "SELECT 1 FROM projection_checkpoint WHERE name = $1 AND sequence = $2 FOR UPDATE",
        )
        .bind(&self.name)
        .bind(i64::try_from(self.sequence).unwrap_or(i64::MAX))
        .fetch_optional(transaction)
        .await?;
        held.map(|_| ()).ok_or(ProjectionError::Superseded)
    }

    /// Advances it in the transaction that writes the rows; fails if another projector did so
    /// first.
    pub(crate) async fn advance(
        &mut self,
        transaction: &mut PgConnection,
        sequence: u64,
        command_id: Option<String>,
    ) -> Result<(), ProjectionError> {
        let updated = sqlx::query(
            "UPDATE projection_checkpoint SET sequence = $3, command_id = $4
             WHERE name = $1 AND sequence = $2",
        )
        .bind(&self.name)
        .bind(i64::try_from(self.sequence).unwrap_or(i64::MAX))
        .bind(i64::try_from(sequence).unwrap_or(i64::MAX))
        .bind(&command_id)
        .execute(transaction)
        .await?;
        if updated.rows_affected() != 1 {
            return Err(ProjectionError::Superseded);
        }
        self.sequence = sequence;
        self.command_id = command_id;
        Ok(())
    }
}

/// How far a read model has followed its stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadModelPosition {
    /// The name of the read model.
    pub name: String,
    /// Sequence of the last message that it applied.
    pub position: u64,
    /// Messages that it could not apply, and skipped.
    pub parked: u64,
}

/// The position of every read model.
///
/// # Errors
/// When the database does not respond.
pub async fn positions(database: &Database) -> Result<Vec<ReadModelPosition>, ProjectionError> {
    let rows: Vec<(String, i64, i64)> = sqlx::query_as(
        "SELECT c.name, c.sequence,
                (SELECT count(*) FROM projection_parked p WHERE p.name = c.name)
         FROM projection_checkpoint c ORDER BY c.name",
    )
    .fetch_all(database.measured())
    .await?;
    let unsigned = |n: i64| u64::try_from(n).unwrap_or(0);
    let position = |(name, at, parked)| ReadModelPosition {
        name,
        position: unsigned(at),
        parked: unsigned(parked),
    };
    Ok(rows.into_iter().map(position).collect())
}

/// The last sequences of the streams that read models follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// Of the event log.
    pub log: u64,
    /// Of the audit stream.
    pub notes: u64,
}

impl Ends {
    /// Reads the current values.
    ///
    /// # Errors
    /// When the server does not respond.
    pub async fn now(log: &Log) -> Result<Self, LogError> {
        Ok(Self { log: log.last_sequence().await?, notes: log.notes().last_sequence().await? })
    }

    /// The last sequence of the stream that a read model follows; `None` for one that is built on
    /// demand.
    pub fn of(self, name: &str) -> Option<u64> {
        match name {
            AuditNotes::NAME => Some(self.notes),
            Report::NAME => None,
            _ => Some(self.log),
        }
    }

    /// The stream that a read model follows.
    pub fn stream(log: &Log, name: &str) -> Log {
        if name == AuditNotes::NAME { log.notes() } else { log.clone() }
    }

    /// The number of messages that a read model at this position has not applied yet.
    pub fn lag(self, name: &str, at: u64) -> Option<u64> {
        self.of(name).map(|end| end.saturating_sub(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lag_is_relative_to_the_stream_that_a_read_model_follows() {
        let ends = Ends { log: 50_000, notes: 3 };
        assert_eq!(ends.lag("job_list", 49_990), Some(10));
        assert_eq!(ends.lag("audit_note", 3), Some(0), "the length of the log does not matter");
        assert_eq!(ends.lag("report", 1), None, "it is built on demand");
        assert_eq!(ends.lag("archive", 50_001), Some(0), "appended since");
    }
}
