//! Statements, by the semantic conventions for databases.

use std::time::Instant;

use opentelemetry::{KeyValue, Value};
use sqlx::Error;

use super::INSTRUMENTS;

/// Tables by which statements are distinguished.
const TABLES: [&str; 19] = [
    "archive",
    "audit_decision",
    "audit_note",
    "batch",
    "delivery",
    "delivery_attempt",
    "job",
    "job_detail",
    "job_list",
    "pace",
    "preset",
    "projection_checkpoint",
    "projection_parked",
    "queue",
    "replay",
    "report",
    "upload",
    "usage",
    "webhook",
];

const OPERATIONS: [&str; 5] = ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"];

/// Measures a statement; it is recorded when this is dropped.
#[derive(Debug)]
pub(crate) struct StatementTimer {
    start: Instant,
    operation: &'static str,
    table: &'static str,
    failure: Option<Failure>,
}

#[derive(Debug)]
struct Failure {
    error_type: String,
    /// The `SQLSTATE`, if the server answered.
    status: Option<String>,
}

impl StatementTimer {
    pub(crate) fn begin(sql: &str) -> Self {
        let (operation, table) = (operation(sql), table(sql));
        Self { start: Instant::now(), operation, table, failure: None }
    }

    pub(crate) fn failed(&mut self, error: &Error) {
        let status = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
        let error_type = match error {
            Error::PoolTimedOut => "pool_timeout",
            Error::Io(_) | Error::Tls(_) | Error::PoolClosed | Error::WorkerCrashed => {
                "unavailable"
            }
            Error::Database(_) => status.as_deref().unwrap_or("database"),
            _ => "client",
        };
        let error_type = error_type.to_owned();
        self.failure = Some(Failure { error_type, status: status.map(Into::into) });
    }
}

impl Drop for StatementTimer {
    fn drop(&mut self) {
        let seconds = self.start.elapsed().as_secs_f64();
        let [system, operation, table] = [
            KeyValue::new("db.system.name", "postgresql"),
            KeyValue::new("db.operation.name", self.operation),
            KeyValue::new("db.collection.name", self.table),
        ];
        let Some(Failure { error_type, status }) = self.failure.take() else {
            INSTRUMENTS.statements.record(seconds, &[system, operation, table]);
            return;
        };
        let mut labels = vec![system, operation, table, KeyValue::new("error.type", error_type)];
        let status = status.map(|status| Value::String(status.into()));
        labels.extend(status.map(|status| KeyValue::new("db.response.status_code", status)));
        INSTRUMENTS.statements.record(seconds, &labels);
    }
}

/// The first word of a statement.
fn operation(sql: &str) -> &'static str {
    let word = sql.split_ascii_whitespace().next().unwrap_or_default();
    let known = OPERATIONS.into_iter().find(|known| word.eq_ignore_ascii_case(known));
    known.unwrap_or("other")
}

/// The first known table that a statement reads or writes.
fn table(sql: &str) -> &'static str {
    let mut words = sql.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let mut after_keyword = false;
    let found = words.find_map(|word| {
        if word.is_empty() {
            return None;
        }
        let named = after_keyword.then(|| TABLES.into_iter().find(|known| *known == word));
        after_keyword = ["FROM", "INTO", "UPDATE", "JOIN"].contains(&word);
        named.flatten()
    });
    found.unwrap_or("none")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_named_by_its_first_word_and_its_first_table() {
        let named = |sql| (operation(sql), table(sql));
        assert_eq!(named("SELECT 1"), ("SELECT", "none"));
        assert_eq!(named("\n  SELECT doc\n FROM job_list WHERE x"), ("SELECT", "job_list"));
        assert_eq!(named("INSERT INTO pace (job) VALUES ($1)"), ("INSERT", "pace"));
        assert_eq!(named("UPDATE webhook SET job = 1"), ("UPDATE", "webhook"));
        let claim =
            "WITH RECURSIVE waiting AS (SELECT 1 FROM pg_locks), b AS (SELECT t FROM webhook)";
        assert_eq!(named(claim), ("WITH", "webhook"));
        assert_eq!(named("VACUUM"), ("other", "none"));
    }

    #[test]
    fn every_table_of_the_migrations_is_known() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations");
        for entry in std::fs::read_dir(folder).unwrap() {
            let sql = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            for created in sql.split("CREATE TABLE ").skip(1) {
                let name = created.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next();
                assert!(TABLES.contains(&name.unwrap()), "{name:?}");
            }
        }
    }
}
