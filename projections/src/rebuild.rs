//! Blue/green: a read model is built anew beside the served one, then takes its place.

use ffapi_nats::{Codec, Log};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::{Database, Projection, ProjectionError, Runner};

/// One read model being built anew, in a schema of its own. Stopped half-way, it goes on from its
/// own checkpoint.
#[derive(Debug)]
pub struct Rebuild<P> {
    database: Database,
    runner: Runner<P>,
    schema: String,
}

/// The tables that belong to every read model.
const SHARED: [&str; 2] = ["projection_checkpoint", "projection_parked"];

impl<P: Projection> Rebuild<P> {
    /// Begins, or goes on with, a rebuild.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn begin(
        database: Database,
        log: Log,
        codec: Codec,
        projection: P,
    ) -> Result<Self, ProjectionError> {
        let schema = format!("rebuild_{}", P::NAME);
        let mut connection = database.pool.acquire().await?;
        run(&mut connection, format!("CREATE SCHEMA IF NOT EXISTS {schema}")).await?;
        for table in P::TABLES.iter().chain(&SHARED) {
            let like = format!(
                "CREATE TABLE IF NOT EXISTS {schema}.{table} (LIKE public.{table} INCLUDING ALL)"
            );
            run(&mut connection, like).await?;
        }
        drop(connection);
        let mut runner = Runner::new(database.clone(), log, codec, projection);
        runner.schema = Some(schema.clone());
        Ok(Self { database, runner, schema })
    }

    /// Follows the log to its end as it is now; answers how far that is. The served tables are
    /// not touched.
    ///
    /// # Errors
    /// When the log or the database is in trouble; going on later loses nothing.
    pub async fn catch_up(&self) -> Result<u64, ProjectionError> {
        self.runner.catch_up().await
    }

    /// How many rows differ from the served ones. Only means something while nothing is appended
    /// and both are caught up.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn differences(&self) -> Result<u64, ProjectionError> {
        let mut differences = 0_i64;
        for table in P::TABLES {
            let schema = &self.schema;
            let count = format!(
                "SELECT count(*) FROM (
                     (TABLE public.{table} EXCEPT TABLE {schema}.{table})
                     UNION ALL (TABLE {schema}.{table} EXCEPT TABLE public.{table})) AS d"
            );
            let count: i64 =
                sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(&self.database.pool).await?;
            differences = differences.saturating_add(count);
        }
        Ok(u64::try_from(differences).unwrap_or(0))
    }

    /// Puts the new tables in place of the served ones, with their checkpoint, all at once. The
    /// runner that followed into the old ones notices and follows on into these.
    ///
    /// # Errors
    /// When the database does not answer; then nothing has changed.
    pub async fn switch(self) -> Result<(), ProjectionError> {
        let schema = &self.schema;
        let mut connection = self.database.pool.acquire().await?;
        let tables: Vec<String> = P::TABLES.iter().map(|table| format!("public.{table}")).collect();
        let mut transaction = loop {
            let mut transaction = connection.begin().await?;
            // In the order in which a runner touches them. Once they are locked, whoever commits a
            // batch into the old tables has done so, or will fail.
            let lock = format!(
                "LOCK TABLE {}, public.projection_checkpoint IN ACCESS EXCLUSIVE MODE",
                tables.join(", ")
            );
            run(&mut transaction, lock).await?;
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
            // What is served is newer: switching now would show the past.
            transaction.rollback().await?;
            self.catch_up().await?;
        };
        for table in P::TABLES {
            run(&mut transaction, format!("DROP TABLE public.{table}")).await?;
            run(&mut transaction, format!("ALTER TABLE {schema}.{table} SET SCHEMA public"))
                .await?;
        }
        for table in SHARED {
            let name = P::NAME;
            run(&mut transaction, format!("DELETE FROM public.{table} WHERE name = '{name}'"))
                .await?;
            run(&mut transaction, format!("INSERT INTO public.{table} TABLE {schema}.{table}"))
                .await?;
        }
        run(&mut transaction, format!("DROP SCHEMA {schema} CASCADE")).await?;
        transaction.commit().await?;
        Ok(())
    }
}

async fn run(connection: &mut PgConnection, statement: String) -> Result<(), ProjectionError> {
    // Made of our own names only: a projection's, its tables', and this module's.
    sqlx::query(AssertSqlSafe(statement)).execute(connection).await?;
    Ok(())
}
