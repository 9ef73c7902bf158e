//! Removes what an attempt leaves in stores. It takes a bounded time: retention does what is left then.

use std::time::Duration;

use ffapi_domain::{
    Decider,
    dispatch::Release,
    job::{Job, JobState},
};

use super::AttemptContext;
use crate::outputs;

/// How long the outcome of an attempt waits for what is removed before it is recorded.
pub(super) const BEFORE_OUTCOME: Duration = Duration::from_secs(3);
/// How long a slot waits for what is removed once the outcome is recorded.
pub(super) const AFTERWARDS: Duration = Duration::from_mins(1);

/// Removes something from a store, for as long as that may take.
pub(super) async fn clean_up(
    release: &Release,
    limit: Duration,
    removing: impl Future<Output = ()>,
) {
    if tokio::time::timeout(limit, removing).await.is_err() {
        tracing::warn!(job = %release.job, "a store is too slow: what an attempt left there is removed later");
    }
}

impl AttemptContext {
    /// Removes published outputs of a job that ended before all of them were delivered. If this
    /// does not complete, retention does it later.
    pub(super) async fn withdraw(&self, release: &Release) {
        let (tenant, id) = (release.tenant.as_str(), release.job.to_string());
        let Ok(history) = self.commands.history::<Job>(tenant, &id).await else { return };
        let storage = self.storage(release);
        if let Err(error) = outputs::withdraw_undelivered(&storage, release.job, &history).await {
            let error = error.reason();
            tracing::warn!(error, job = %release.job, "outputs of a job that was not completed are not removed");
        }
    }

    /// Removes what was staged, unless the job is going to deliver it.
    pub(super) async fn drop_unsealed(&self, release: &Release) {
        let (tenant, id) = (release.tenant.as_str(), release.job.to_string());
        let storage = self.storage(release);
        // If the log is unavailable nothing is removed: a stray file is better than a lost output.
        let Ok(history) = self.commands.history::<Job>(tenant, &id).await else { return };
        let events = history.iter().flat_map(|(_, decision)| &decision.events);
        let state = events.fold(JobState::default(), Job::evolve);
        let is_ours = match &state {
            JobState::Processing { attempt, .. } => *attempt == release.attempt,
            state => state.is_over(),
        };
        let sealed_by = state.run().and_then(|run| run.sealed_by);
        if sealed_by == Some(release.attempt) {
            return;
        }
        // Outputs published by failed attempts are removed first: only staging identifies them.
        if let Err(error) = outputs::withdraw_undelivered(&storage, release.job, &history).await {
            let error = error.reason();
            tracing::warn!(error, job = %release.job, "outputs of a job that was not completed are not removed");
            return;
        }
        let Some(output) = outputs::location(&history) else { return };
        if sealed_by.is_none() && is_ours {
            // Also what earlier attempts that died left behind.
            storage.clear_staging(release.job, release.attempt, output).await;
        } else {
            storage.drop_staging(release.job, release.attempt, output).await;
        }
    }
}
