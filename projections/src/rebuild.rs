//! Blue/green rebuild: a read model is built again in its own schema, then replaces the served
//! tables.

use ffapi_nats::{Codec, Log};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::{Database, Projection, ProjectionError, Runner};

/// The rebuild of one read model, in a schema of its own. If interrupted, it resumes from its own
/// checkpoint.
#[derive(Debug)]
pub struct Rebuild<P> {
    database: Database,
    runner: Runner<P>,
    schema: String,
}

/// The tables that all read models share.
const SHARED: [&str; 2] = ["projection_checkpoint", "projection_parked"];

impl<P: Projection> Rebuild<P> {
    /// Starts a rebuild, or resumes an interrupted one.
    ///
    /// # Errors
    /// When the database does not respond.
    pub async fn begin(
        database: Database,
        log: Log,
        codec: Codec,
        projection: P,
    ) -> Result<Self, ProjectionError> {
        let schema = format!("rebuild_{}", P::NAME);
        let mut connection = database.pool.acquire().await?;
        execute(&mut connection, format!("CREATE SCHEMA IF NOT EXISTS {schema}")).await?;
        for table in P::TABLES.iter().chain(&SHARED) {
            let like = format!(
                "CREATE TABLE IF NOT EXISTS {schema}.{table} (LIKE public.{table} INCLUDING ALL)"
            );
            execute(&mut connection, like).await?;
        }
        drop(connection);
        let mut runner = Runner::new(database.clone(), log, codec, projection);
        runner.schema = Some(schema.clone());
        Ok(Self { database, runner, schema })
    }

    /// Applies the log up to its current end; returns that sequence. The served tables are not
    /// changed.
    ///
    /// # Errors
    /// When the log or the database fails; the rebuild can be resumed later.
    pub async fn catch_up(&self) -> Result<u64, ProjectionError> {
        self.runner.catch_up().await
    }

    /// The number of rows that differ from the served ones. Only meaningful while nothing is
    /// appended and both are caught up.
    ///
    /// # Errors
    /// When the database does not respond.
    pub async fn differences(&self) -> Result<u64, ProjectionError> {
        let mut differences = 0_i64;
        for table in P::TABLES {
            let schema = &self.schema;
            let count = format!(
                "SELECT count(*) FROM (
                     (TABLE public.{table} EXCEPT TABLE {schema}.{table})
                     UNION ALL (TABLE {schema}.{table} EXCEPT TABLE public.{table})) AS d"
            );
            let count: i64 = sqlx::query_scalar(AssertSqlSafe(count))
                .fetch_one(self.database.measured())
                .await?;
            differences = differences.saturating_add(count);
        }
        Ok(u64::try_from(differences).unwrap_or(0))
    }

    /// Replaces the served tables and their checkpoint by the new ones, in one transaction. The
    /// runner that wrote the old tables fails to move its checkpoint, and restarts on the new ones.
    ///
    /// # Errors
    /// When the database does not respond; then nothing has changed.
    pub async fn switch(self) -> Result<(), ProjectionError> {
        let schema = &self.schema;
        let mut connection = self.database.pool.acquire().await?;
        let tables: Vec<String> = P::TABLES.iter().map(|table| format!("public.{table}")).collect();
        let mut transaction = loop {
            let mut transaction = connection.begin().await?;
            // In the order in which a runner locks them. Once they are locked, a runner has either
            // committed its batch into the old tables, or its commit will fail.
            let lock = format!(
                "LOCK TABLE {}, public.projection_checkpoint IN ACCESS EXCLUSIVE MODE",
                tables.join(", ")
            );
            execute(&mut transaction, lock).await?;
            let ahead = format!(
                "SELECT coalesce((SELECT sequence FROM public.projection_checkpoint
                 WHERE name = '{name}') > (SELECT sequence FROM {schema}.projection_checkpoint
                 WHERE name = '{name}'), false)",
                name = P::NAME
            );
            let ahead: bool =
                sqlx::query_scalar(AssertSqlSafe(ahead)).fetch_one(&mut *transaction).await?;
            if !ahead {
                break transaction;
            }
            // The served tables are newer: switching now would serve an older state.
            transaction.rollback().await?;
            self.catch_up().await?;
        };
        for table in P::TABLES {
            execute(&mut transaction, format!("DROP TABLE public.{table}")).await?;
            execute(&mut transaction, format!("ALTER TABLE {schema}.{table} SET SCHEMA public"))
                .await?;
        }
        for table in SHARED {
            let name = P::NAME;
            execute(&mut transaction, format!("DELETE FROM public.{table} WHERE name = '{name}'"))
                .await?;
            execute(&mut transaction, format!("INSERT INTO public.{table} TABLE {schema}.{table}"))
                .await?;
        }
        execute(&mut transaction, format!("DROP SCHEMA {schema} CASCADE")).await?;
        transaction.commit().await?;
        Ok(())
    }
}

async fn execute(connection: &mut PgConnection, statement: String) -> Result<(), ProjectionError> {
    // Contains only constants: the names of the projection and its tables, and texts of this
    // module.
    sqlx::query(AssertSqlSafe(statement)).execute(connection).await?;
    Ok(())
}
