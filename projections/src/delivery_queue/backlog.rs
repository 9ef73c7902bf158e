use ffapi_domain::Timestamp;

use crate::{Database, ProjectionError, fold::millis};

/// The deliveries that may be sent now, of all tenants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    /// Enabled endpoints with such a delivery.
    pub endpoints: u64,
    /// Since when the one that has been due longest could have been sent; `None` without any.
    pub oldest: Option<Timestamp>,
}

/// The deliveries that may be sent now. An endpoint that is paused after failures has none until the
/// end of its pause.
///
/// # Errors
/// When the database does not respond.
pub async fn backlog(database: &Database, now: Timestamp) -> Result<Backlog, ProjectionError> {
    // Within the partial index of due endpoints.
    let (endpoints, oldest): (i64, Option<i64>) = sqlx::query_as(
        "SELECT count(*), min(due_at) FROM webhook
         WHERE status = 'enabled' AND due_at IS NOT NULL AND due_at <= $1",
    )
    .bind(millis(now))
    .fetch_one(database.measured())
    .await?;
    let unsigned = |number: i64| u64::try_from(number).unwrap_or(0);
    let oldest = oldest.map(|at| Timestamp::from_millis(unsigned(at)));
    Ok(Backlog { endpoints: unsigned(endpoints), oldest })
}
