//! What ends the work of an attempt before it is done: a cancellation, another owner of the job, the end of this
//! worker, the time that a job may take. Everything that waits for a store, a host or a media process is
//! supervised.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use ffapi_domain::{
    account::{Account, Limits},
    dispatch::Release,
    job::{FailureCode, Job, JobState},
};
use ffapi_media::MediaError;
use ffapi_nats::subject;
use tokio::time::Instant;

use super::{AttemptContext, Outcome, bounds::too_long, watch::next};

/// How often a running attempt checks in the log whether it is still current, in case a
/// notification was lost.
const STATE_CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// What an attempt waits for: whose failure it is if its time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WaitsFor {
    /// A store.
    Store,
    /// The hosts of inputs, or the media process.
    Media,
    /// The hosts of the URLs at which outputs are put.
    OutputHost,
}

/// The time that making the outputs, or delivering them, may take.
#[derive(Debug)]
pub(super) struct TimeLimit {
    started: Instant,
    limit: Duration,
    waits_for: Mutex<WaitsFor>,
}

impl TimeLimit {
    /// Starts the clock now.
    pub(super) fn start(limits: &Limits, waits_for: WaitsFor) -> Self {
        let limit = Duration::from_secs(limits.max_job_seconds);
        Self { started: Instant::now(), limit, waits_for: Mutex::new(waits_for) }
    }

    /// Records what the attempt waits for from now on.
    pub(super) fn wait_for(&self, waits_for: WaitsFor) {
        *self.waits_for.lock().unwrap_or_else(PoisonError::into_inner) = waits_for;
    }

    /// Completes with an error once the time is over.
    async fn exceeded(&self) -> MediaError {
        tokio::time::sleep(self.limit.saturating_sub(self.started.elapsed())).await;
        let waits_for = *self.waits_for.lock().unwrap_or_else(PoisonError::into_inner);
        match waits_for {
            WaitsFor::Store => store_too_slow(self.limit),
            WaitsFor::Media => too_long("time", self.limit),
            WaitsFor::OutputHost => host_too_slow(self.limit),
        }
    }
}

/// The failure of an attempt whose store does not do its part in time.
fn store_too_slow(limit: Duration) -> MediaError {
    MediaError {
        code: FailureCode::StorageUnavailable,
        message: format!(
            "the store did not read or take the job's files within the {} s that this account's jobs may take: \
             it is away, or slow",
            limit.as_secs()
        ),
    }
}

/// The failure of a job whose outputs are not put in time.
fn host_too_slow(limit: Duration) -> MediaError {
    MediaError {
        code: FailureCode::TimeLimitExceeded,
        message: format!(
            "the host of the output's URL did not take the outputs within {} s, which is what this account's jobs \
             may take: a faster host helps",
            limit.as_secs()
        ),
    }
}

/// Does work until it is done, the attempt has `ended` otherwise, or its time is over; then the work is dropped.
///
/// # Errors
/// How the attempt ends without the work.
async fn until_ended<T>(
    work: impl Future<Output = T>,
    ended: impl Future<Output = Outcome>,
    time: &TimeLimit,
) -> Result<T, Outcome> {
    tokio::select! {
        done = work => Ok(done),
        outcome = ended => Err(outcome),
        error = time.exceeded() => Err(Outcome::Fail(error)),
    }
}

impl AttemptContext {
    /// Does a part of an attempt's work, unless the attempt has to end before.
    ///
    /// # Errors
    /// How the attempt ends without the work, which is dropped.
    pub(super) async fn supervise<T>(
        &self,
        release: &Release,
        time: &TimeLimit,
        work: impl Future<Output = T>,
    ) -> Result<T, Outcome> {
        until_ended(work, self.cancelled(release), time).await
    }

    /// The account's limits; those of the default tier if the log does not answer in time.
    pub(super) async fn limits(&self, release: &Release) -> Limits {
        let (tenant, tiers) = (release.tenant.as_str(), &self.input_fetcher.tiers);
        let reading = self.commands.state::<Account>(tenant, tenant);
        let account = tokio::time::timeout(STATE_CHECK_INTERVAL, reading).await;
        account.ok().and_then(Result::ok).unwrap_or_default().limits(tiers)
    }

    /// Completes when this attempt should stop.
    async fn cancelled(&self, release: &Release) -> Outcome {
        let mut cancels = self.pubsub.subscribe(subject::cancel_job(release.job)).await.ok();
        loop {
            tokio::select! {
                _ = next(&mut cancels) => {}
                () = tokio::time::sleep(STATE_CHECK_INTERVAL) => {}
                () = self.abandon.cancelled() => return Outcome::Abandoned,
            }
            if let Some(outcome) = self.ended(release).await {
                return outcome;
            }
        }
    }

    /// How this attempt should end, according to the log; none if it should continue, or if the log
    /// does not answer.
    pub(super) async fn ended(&self, release: &Release) -> Option<Outcome> {
        self.commands.log().nats().connected_for()?;
        let (tenant, id) = (release.tenant.as_str(), release.job.to_string());
        let reading = self.commands.state::<Job>(tenant, &id);
        let state = tokio::time::timeout(Duration::from_secs(1), reading).await.ok()?.ok()?;
        match state {
            JobState::Processing { attempt, cancelling, .. } if attempt == release.attempt => {
                cancelling.then_some(Outcome::Cancelled)
            }
            JobState::Processing { .. }
            | JobState::Queued { .. }
            | JobState::Unknown
            | JobState::Completed
            | JobState::Failed { .. }
            | JobState::Cancelled { .. } => Some(Outcome::Superseded),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    fn minute(waits_for: WaitsFor) -> TimeLimit {
        TimeLimit::start(&Limits { max_job_seconds: 60, ..Limits::default() }, waits_for)
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_never_ends_is_dropped_at_the_time_limit_and_the_error_names_what_it_waited_for()
     {
        let expected = [
            (WaitsFor::Store, FailureCode::StorageUnavailable, "the store"),
            (WaitsFor::Media, FailureCode::TimeLimitExceeded, "the job takes more"),
            (WaitsFor::OutputHost, FailureCode::TimeLimitExceeded, "host of the output's URL"),
        ];
        for (waits_for, code, message) in expected {
            let time = minute(WaitsFor::Media);
            time.wait_for(waits_for);
            let begin = Instant::now();
            let done = until_ended(pending::<()>(), pending(), &time).await;
            assert_eq!(begin.elapsed().as_secs(), 60);
            let Err(Outcome::Fail(error)) = done else { panic!("{done:?}") };
            assert!(error.code == code && error.message.contains(message), "{error:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_clock_counts_over_all_parts_of_the_work() {
        let time = minute(WaitsFor::Store);
        let part = tokio::time::sleep(Duration::from_secs(50));
        assert!(until_ended(part, pending(), &time).await.is_ok());
        let part = tokio::time::sleep(Duration::from_secs(50));
        assert!(matches!(until_ended(part, pending(), &time).await, Err(Outcome::Fail(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_never_ends_is_dropped_when_the_attempt_ends_otherwise() {
        let time = minute(WaitsFor::Store);
        let done = until_ended(pending::<()>(), ready(Outcome::Cancelled), &time).await;
        assert!(matches!(done, Err(Outcome::Cancelled)), "{done:?}");
    }
}
