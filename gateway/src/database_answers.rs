use std::time::{Duration, Instant};

use ffapi_projections::Database;
use tokio::sync::Mutex;

/// Whether the database answered lately, asked by one request at a time for all of them.
#[derive(Debug, Default)]
pub(crate) struct DatabaseAnswers(Mutex<Option<(Instant, bool)>>);

/// Timeout of the database in the readiness check.
const TIMEOUT: Duration = Duration::from_secs(2);
/// How long the database's answer is remembered: the check needs no key, and may not take the
/// connections of requests that have one.
const ANSWER_AGE: Duration = Duration::from_secs(1);

impl DatabaseAnswers {
    pub(crate) async fn get(&self, database: &Database) -> bool {
        let mut last = self.0.lock().await;
        if let Some((at, answers)) = *last
            && at.elapsed() < ANSWER_AGE
        {
            return answers;
        }
        let answers = tokio::time::timeout(TIMEOUT, database.answers()).await;
        let answers = answers.unwrap_or(false);
        *last = Some((Instant::now(), answers));
        answers
    }
}
