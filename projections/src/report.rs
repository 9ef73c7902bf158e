//! Report of outputs by month, tenant and codec. Its rows are built from the whole log on demand.

use ffapi_domain::{
    Decider, Month, Timestamp,
    job::{Job, JobEvent, main_codec},
};
use ffapi_nats::{Codec, Decision, Message};
use sqlx::{FromRow, PgConnection};

use crate::{Database, Projection, ProjectionError, storable};

/// Writes the read model.
#[derive(Debug)]
pub struct Report;

/// The outputs of a tenant in a month, with a codec.
#[derive(Debug, Clone, FromRow)]
pub struct ReportRow {
    /// Like `2026-11`, UTC.
    pub month: String,
    /// The tenant.
    pub tenant: String,
    /// Video codec, otherwise audio codec; `none` for jobs without media outputs.
    pub codec: String,
    /// Number of jobs.
    pub jobs: i64,
    /// Charged media time in microseconds.
    pub micros: i64,
    /// Total size of the outputs in bytes.
    pub bytes: i64,
}

impl Projection for Report {
    type Prepared = ();

    const NAME: &'static str = "report";
    const TABLES: &'static [&'static str] = &["report"];

    async fn apply(
        &self,
        transaction: &mut PgConnection,
        codec: &Codec,
        batch: &[Message],
        _prepared: &(),
    ) -> Result<(), ProjectionError> {
        for message in batch {
            let Some((Job::CATEGORY, tenant, _)) = message.address() else { continue };
            let decision: Decision<JobEvent> = codec
                .read(message)
                .await
                .map_err(|error| ProjectionError::from_codec(message.sequence, error))?;
            for event in &decision.events {
                let JobEvent::OutputsSealed { outputs, spent: Some(spent), .. } = event else {
                    continue;
                };
                let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
                sqlx::query(
                    "INSERT INTO report (month, tenant, codec, jobs, micros, bytes)
                     VALUES ($1, $2, $3, 1, $4, $5)
                     ON CONFLICT (month, tenant, codec) DO UPDATE SET
                         jobs = report.jobs + 1, micros = report.micros + excluded.micros,
                         bytes = report.bytes + excluded.bytes",
                )
                .bind(Month::of(Timestamp::from_millis(decision.at)).to_string())
                .bind(storable::text(tenant))
                .bind(storable::text(main_codec(outputs, Some(spent))))
                .bind(i64::try_from(spent.effort.charged).unwrap_or(i64::MAX))
                .bind(signed(spent.bytes))
                .execute(&mut *transaction)
                .await?;
            }
        }
        Ok(())
    }
}

/// All rows, ordered by month, tenant and codec.
///
/// # Errors
/// When the database does not respond.
pub async fn all(database: &Database) -> Result<Vec<ReportRow>, ProjectionError> {
    let rows = sqlx::query_as(
        "SELECT month, tenant, codec, jobs, micros, bytes FROM report
         ORDER BY month, tenant, codec",
    );
    Ok(rows.fetch_all(database.measured()).await?)
}
