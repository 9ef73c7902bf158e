//! Digests of read models, to compare those of two databases.

use ffapi_nats::{Codec, Log};
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::{
    Archive, AuditDecisions, BatchList, Database, JobDetail, JobList, Pace, Presets, Projection,
    ProjectionError, Queue, Runner, Uploads, Usage,
};

/// The contents of one read model at a position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// Name of the read model.
    pub name: String,
    /// Sequence of the last message that was applied.
    pub sequence: u64,
    /// Number of rows.
    pub rows: u64,
    /// A checksum of all rows, whatever their order. It detects differences, not forgeries.
    pub checksum: String,
}

/// The read models that are built from the log alone.
pub const READ_MODELS: [&str; 10] = [
    JobDetail::NAME,
    JobList::NAME,
    BatchList::NAME,
    Presets::NAME,
    Uploads::NAME,
    Queue::NAME,
    Pace::NAME,
    Usage::NAME,
    Archive::NAME,
    AuditDecisions::NAME,
];

/// The digests of all read models that are built from the log alone; of those that exist.
///
/// # Errors
/// When the database does not respond.
pub async fn digests(database: &Database) -> Result<Vec<Digest>, ProjectionError> {
    Ok([
        digest::<JobDetail>(database).await?,
        digest::<JobList>(database).await?,
        digest::<BatchList>(database).await?,
        digest::<Presets>(database).await?,
        digest::<Uploads>(database).await?,
        digest::<Queue>(database).await?,
        digest::<Pace>(database).await?,
        digest::<Usage>(database).await?,
        digest::<Archive>(database).await?,
        digest::<AuditDecisions>(database).await?,
    ]
    .into_iter()
    .flatten()
    .collect())
}

/// The digest of one read model; none if nothing was applied to it, or messages of it are parked.
///
/// # Errors
/// When the database does not respond.
pub async fn digest<P: Projection>(database: &Database) -> Result<Option<Digest>, ProjectionError> {
    let mut connection = database.pool.acquire().await?;
    let mut transaction = connection.begin().await?;
    // Rows and position of one moment.
    sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        .execute(&mut *transaction)
        .await?;
    let position: Option<i64> = sqlx::query_scalar(
        "SELECT sequence FROM projection_checkpoint c WHERE name = $1 AND NOT EXISTS
             (SELECT 1 FROM projection_parked p WHERE p.name = c.name)",
    )
    .bind(P::NAME)
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(position) = position else { return Ok(None) };
    let (mut rows, mut checksums) = (0_u64, Vec::new());
    for table in P::TABLES {
        let (count, checksum) = table_digest(&mut transaction, table).await?;
        rows = rows.saturating_add(u64::try_from(count).unwrap_or(0));
        checksums.push(checksum);
    }
    let sequence = u64::try_from(position).unwrap_or(0);
    Ok(Some(Digest { name: P::NAME.to_owned(), sequence, rows, checksum: checksums.join(" ") }))
}

async fn table_digest(
    transaction: &mut PgConnection,
    table: &'static str,
) -> Result<(i64, String), ProjectionError> {
    // A sum does not depend on the order of the rows, which a rebuild changes.
    let statement = format!(
        "SELECT count(*), coalesce(sum(('x' || left(md5(t::text), 16))::bit(64)::bigint), 0)::text
         FROM {table} t"
    );
    // Contains only constants.
    Ok(sqlx::query_as(AssertSqlSafe(statement)).fetch_one(transaction).await?)
}

/// Builds one read model up to the end of the log, and returns its digest; none if it is not one of
/// those of [`digests`].
///
/// # Errors
/// When the log or the database fails.
pub async fn built_digest(
    name: &str,
    database: &Database,
    log: &Log,
    codec: &Codec,
) -> Result<Option<Digest>, ProjectionError> {
    macro_rules! of {
        ($($projection:ident),+) => {
            match name {
                $($projection::NAME => {
                    let (database, log, codec) = (database.clone(), log.clone(), codec.clone());
                    let runner = Runner::new(database.clone(), log, codec, $projection);
                    Box::pin(runner.catch_up()).await?;
                    digest::<$projection>(&database).await
                })+
                _ => Ok(None),
            }
        };
    }
    of!(
        JobDetail,
        JobList,
        BatchList,
        Presets,
        Uploads,
        Queue,
        Pace,
        Usage,
        Archive,
        AuditDecisions
    )
}
