use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::{
    AssertSqlSafe, PgConnection, PgPool,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use url::Url;

use crate::{ProjectionError, measured::Measured, metrics};

/// How to connect to Postgres.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostgresConfig {
    /// The URL: `postgres://…`.
    pub url: String,
    /// Maximum number of connections.
    #[serde(default = "default_max_connections")]
    pub max_connections: u32,
}

impl std::fmt::Debug for PostgresConfig {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("PostgresConfig");
        shown.field("url", &self.shown()).field("max_connections", &self.max_connections).finish()
    }
}

impl PostgresConfig {
    /// The URL with the password replaced, whether it is in the user info or in the query.
    pub fn shown(&self) -> String {
        const HIDDEN: &str = "hidden";
        let url = Url::parse(&self.url).ok().filter(|url| !url.cannot_be_a_base());
        let Some(mut url) = url else { return HIDDEN.to_owned() };
        if url.password().is_some() && url.set_password(Some(HIDDEN)).is_err() {
            return HIDDEN.to_owned();
        }
        if url.query().is_some() {
            let parameters: Vec<(String, String)> = url.query_pairs().into_owned().collect();
            url.query_pairs_mut().clear().extend_pairs(parameters.iter().map(|(name, value)| {
                (name, if name == "password" { HIDDEN } else { value.as_str() })
            }));
        }
        url.into()
    }
}

const fn default_max_connections() -> u32 {
    16
}

/// The read models' database.
#[derive(Debug, Clone)]
pub struct Database {
    pub(crate) pool: PgPool,
    purpose: Use,
}

/// What connections are used for.
#[derive(Debug, Clone, Copy)]
enum Use {
    /// Writing read models, and reading them in the background.
    Write,
    /// Answering requests.
    Requests,
}

impl Use {
    /// The name of its pool in metrics.
    const fn name(self) -> &'static str {
        match self {
            Self::Write => "background",
            Self::Requests => "requests",
        }
    }

    fn options(self, config: &PostgresConfig) -> Result<PgConnectOptions, ProjectionError> {
        let options: PgConnectOptions = config.url.parse()?;
        let options = options.application_name("ffapi");
        Ok(match self {
            Self::Write => options,
            Self::Requests => options.options([("statement_timeout", STATEMENT_TIMEOUT)]),
        })
    }
}

/// How long a statement of a request may take.
const STATEMENT_TIMEOUT: &str = "10s";

static MIGRATOR: Migrator = sqlx::migrate!("../migrations");

/// How long a query waits for a connection before it fails as unavailable.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);

impl Database {
    /// Creates the connection pool; connections are opened on demand.
    ///
    /// # Errors
    /// When the URL is invalid.
    pub fn connect(config: &PostgresConfig) -> Result<Self, ProjectionError> {
        Self::connect_as(config, Use::Write)
    }

    /// As [`Self::connect`], for requests: a statement that takes longer than 10 s is cancelled, so
    /// that the connections remain available to other requests.
    ///
    /// # Errors
    /// When the URL is invalid.
    pub fn connect_for_requests(config: &PostgresConfig) -> Result<Self, ProjectionError> {
        Self::connect_as(config, Use::Requests)
    }

    fn connect_as(config: &PostgresConfig, purpose: Use) -> Result<Self, ProjectionError> {
        let pool = PgPoolOptions::new()
            .max_connections(config.max_connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_lazy_with(purpose.options(config)?);
        metrics::observe_pool(purpose.name(), &pool);
        Ok(Self { pool, purpose })
    }

    /// The pool as an executor whose statements are measured.
    pub(crate) const fn measured(&self) -> Measured<'_> {
        Measured(&self.pool)
    }

    /// A connection of its own, for a lock that belongs to the session: the server releases it when the
    /// connection ends for any reason.
    pub(crate) async fn session(&self) -> Result<PgConnection, ProjectionError> {
        let options = self.pool.connect_options();
        let single = PgPoolOptions::new().max_connections(1).acquire_timeout(ACQUIRE_TIMEOUT);
        let pool = single.connect_with((*options).clone()).await?;
        let mut connection = pool.acquire().await?.detach();
        // If this machine fails, the server releases the lock within a minute, instead of detecting
        // the dead connection after two hours.
        sqlx::query(
            "SELECT set_config('tcp_keepalives_idle', '30', false),
                    set_config('tcp_keepalives_interval', '10', false),
                    set_config('tcp_keepalives_count', '3', false)",
        )
        .execute(&mut connection)
        .await?;
        Ok(connection)
    }

    /// Uses these credentials for new connections; existing connections stay open.
    ///
    /// # Errors
    /// When the URL is invalid.
    pub fn set_credentials(&self, config: &PostgresConfig) -> Result<(), ProjectionError> {
        self.pool.set_connect_options(self.purpose.options(config)?);
        Ok(())
    }

    /// Applies the migrations; concurrent calls wait for each other.
    ///
    /// # Errors
    /// When the database does not respond, or its schema is not one of ffapi.
    pub async fn migrate(&self) -> Result<(), ProjectionError> {
        MIGRATOR.run(&self.pool).await?;
        Ok(())
    }

    /// Deletes the rows of all read models: they are built again from the start of the log.
    ///
    /// # Errors
    /// When the database does not respond, or a projector is running.
    pub async fn clear(&self) -> Result<(), ProjectionError> {
        let mut transaction = self.pool.begin().await?;
        let tables: Vec<String> = sqlx::query_scalar(
            "SELECT quote_ident(tablename) FROM pg_tables
             WHERE schemaname = 'public' AND tablename <> '_sqlx_migrations'",
        )
        .fetch_all(&mut *transaction)
        .await?;
        // The names come from the database, which quotes them.
        let clear = AssertSqlSafe(format!("TRUNCATE {}", tables.join(", ")));
        sqlx::query("SET LOCAL lock_timeout = '10s'").execute(&mut *transaction).await?;
        sqlx::query(clear).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// True if the database responds to a query.
    pub async fn answers(&self) -> bool {
        sqlx::query("SELECT 1").execute(self.measured()).await.is_ok()
    }

    /// The settings of the server that are off, without which a crash of its machine can damage or lose
    /// rows.
    ///
    /// # Errors
    /// When the database does not respond.
    pub async fn switched_off(&self) -> Result<Vec<String>, ProjectionError> {
        let query = sqlx::query_scalar(
            "SELECT name FROM pg_settings
             WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit') AND setting = 'off'
             ORDER BY name",
        );
        Ok(query.fetch_all(&self.pool).await?)
    }

    /// The server's version.
    ///
    /// # Errors
    /// When the database does not respond.
    pub async fn server_version(&self) -> Result<String, ProjectionError> {
        Ok(sqlx::query_scalar("SHOW server_version").fetch_one(&self.pool).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_urls_contain_no_password() {
        let shown = |url: &str| PostgresConfig { url: url.to_owned(), max_connections: 1 }.shown();
        assert_eq!(shown("postgres://u:hush@h:5432/db"), "postgres://u:hidden@h:5432/db");
        assert_eq!(shown("postgres://u@h/db"), "postgres://u@h/db");
        let by_query = shown("postgres:///db?host=/tmp/s&user=u&password=hush");
        assert_eq!(by_query, "postgres:///db?host=%2Ftmp%2Fs&user=u&password=hidden");
        assert_eq!(shown("u:hush@h"), "hidden");
        let config =
            PostgresConfig { url: "postgres://u:hush@h/db".to_owned(), max_connections: 1 };
        assert!(!format!("{config:?}").contains("hush"), "{config:?}");
    }
}
