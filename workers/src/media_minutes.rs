//! Reserves a job's media minutes before any of them are used, and settles them afterwards.

use std::time::Duration;

use ffapi_commands::{Commands, HandleError};
use ffapi_domain::{
    KeyId, Month,
    account::Account,
    dispatch::Release,
    job::{FailureCode, JobCommand},
    key::{Key, KeyState},
    media::Micros,
    quota::{Budget, MINUTE, Quota, QuotaCommand, QuotaRejection},
};
use ffapi_media::{MediaError, protocol::Progress};
use ffapi_nats::CodecError;

use crate::{attempt::AttemptContext, clock};

/// Delay between retries while the log is unavailable.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// Further reservations are rounded up to multiples of this, because each one is an event.
const RESERVATION_STEP: Micros = 10_000_000;

/// The media time that an attempt has reserved, and how much of it is used.
#[derive(Debug, Clone, Default)]
pub(crate) struct Charged {
    reserved: Option<(String, Micros)>,
    used: Micros,
}

impl Charged {
    /// How much to reserve in total for a child that needs `needed` in total; none if enough is
    /// reserved already.
    pub(crate) fn to_reserve(&self, needed: Micros) -> Option<Micros> {
        let Some(reserved) = self.reserved() else { return Some(needed) };
        let steps = needed.div_ceil(RESERVATION_STEP);
        (needed > reserved).then(|| steps.saturating_mul(RESERVATION_STEP))
    }

    /// Records that `micros` in total are reserved in a month's quota.
    pub(crate) fn record_reservation(&mut self, month: String, micros: Micros) {
        self.reserved = Some((month, micros.max(self.reserved().unwrap_or(0))));
    }

    /// The reserved media time; none if there is no reservation.
    pub(crate) fn reserved(&self) -> Option<Micros> {
        self.reserved.as_ref().map(|(_, micros)| *micros)
    }

    /// Records the child's progress as used media time: it never exceeds the reservation, and never
    /// decreases.
    pub(crate) fn record_progress(&mut self, progress: &Progress) {
        let reserved = self.reserved().unwrap_or(0);
        let used = match progress.total.filter(|total| *total > 0) {
            Some(total) => {
                let share = u128::from(reserved).saturating_mul(u128::from(progress.done));
                Micros::try_from(share / u128::from(total)).unwrap_or(reserved)
            }
            None => progress.done,
        };
        self.used = self.used.max(used.min(reserved));
    }

    /// Records that the outputs are made: everything that was reserved for them is used.
    pub(crate) fn record_made(&mut self) {
        self.used = self.reserved().unwrap_or(self.used);
    }

    /// Records the time that the child has run: a second of work counts as at least a second of
    /// media, whatever progress the child reports.
    pub(crate) fn record_runtime(&mut self, time: Duration) {
        let time = Micros::try_from(time.as_micros()).unwrap_or(Micros::MAX);
        self.used = self.used.max(time.min(self.reserved().unwrap_or(0)));
    }

    /// True if the used media time is charged although there are no outputs: the job was cancelled,
    /// or failed because of its input or limits. Failures of the service are free.
    pub(crate) fn is_charged_after(&self, outcome: &JobCommand) -> bool {
        let is_free = match outcome {
            JobCommand::ConfirmCancel { .. } => false,
            JobCommand::FailAttempt { failure, .. } => !matches!(
                failure.code,
                FailureCode::InvalidInput
                    | FailureCode::Unsupported
                    | FailureCode::TimeLimitExceeded
                    | FailureCode::QuotaExceeded
                    | FailureCode::StorageFull
                    | FailureCode::OutputExists
                    | FailureCode::OutputForbidden
                    | FailureCode::OutputUrlExpired
            ),
            _ => true,
        };
        self.used > 0 && !is_free
    }
}

/// Reserves media time for a job, and returns the month whose quota it was reserved in.
///
/// # Errors
/// `QuotaExceeded` if the account or the key does not have enough left.
pub(crate) async fn reserve(
    context: &AttemptContext,
    release: &Release,
    key: Option<KeyId>,
    micros: Micros,
) -> Result<String, MediaError> {
    loop {
        match Box::pin(try_reserve(context, release, key, micros)).await {
            Ok(month) => return Ok(month),
            Err(HandleError::Rejected(rejection @ QuotaRejection::Exceeded { .. })) => {
                let code = FailureCode::QuotaExceeded;
                return Err(MediaError { code, message: rejection.to_string() });
            }
            Err(error) => {
                tracing::warn!(%error, job = %release.job, "cannot reserve media minutes yet");
                tokio::time::sleep(RETRY_INTERVAL).await;
            }
        }
    }
}

async fn try_reserve(
    context: &AttemptContext,
    release: &Release,
    key: Option<KeyId>,
    micros: Micros,
) -> Result<String, HandleError<QuotaRejection>> {
    let (commands, tenant) = (&context.commands, release.tenant.as_str());
    let account = commands.state::<Account>(tenant, tenant).await?;
    let limit = account.limits(&context.input_fetcher.tiers).monthly_minutes.saturating_mul(MINUTE);
    let (key_limit, makers) = match key {
        Some(key) => budgets(commands, tenant, key).await?,
        None => (None, vec![]),
    };
    let job = release.job;
    let command = QuotaCommand::Reserve { job, key, micros, limit, key_limit, makers };
    let month = Month::of(clock::now()).to_string();
    commands.handle::<Quota>(tenant, &month, &context.caller, command).await?;
    Ok(month)
}

/// The monthly limit of a key, and the budgets of the keys that it was created by.
async fn budgets(
    commands: &Commands,
    tenant: &str,
    key: KeyId,
) -> Result<(Option<Micros>, Vec<Budget>), CodecError> {
    let limit = |state: &KeyState| {
        let minutes = state.key().and_then(|key| key.terms.monthly_limit_minutes);
        minutes.map(|minutes| minutes.saturating_mul(MINUTE))
    };
    let state = commands.state::<Key>(tenant, &key.to_string()).await?;
    let mut makers = Vec::new();
    for maker in state.key().map(|key| key.makers.clone()).unwrap_or_default() {
        let maker_state = commands.state::<Key>(tenant, &maker.to_string()).await?;
        makers.push(Budget { key: maker, limit: limit(&maker_state) });
    }
    Ok((limit(&state), makers))
}

/// Settles the used media time of a job that ends without outputs. If this fails, nothing is
/// charged: the conductor releases reservations of jobs that are over.
pub(crate) async fn settle(context: &AttemptContext, release: &Release, charged: &Charged) {
    let Some((month, _)) = &charged.reserved else { return };
    let tenant = release.tenant.as_str();
    let command = QuotaCommand::Settle { job: release.job, micros: charged.used };
    let settled = context.commands.handle::<Quota>(tenant, month, &context.caller, command);
    if let Err(error) = settled.await {
        tracing::warn!(%error, job = %release.job, "cannot settle the used media minutes");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ffapi_domain::{Personal, job::Failure};

    use super::*;

    fn progress(done: Micros, total: Option<Micros>) -> Progress {
        let (stage, outputs) = (String::new(), BTreeMap::new());
        Progress { stage, done, total, frames: 0, fps: 0.0, speed: 0.0, outputs }
    }

    #[test]
    fn used_time_follows_the_work_within_the_reservation() {
        let mut charged = Charged::default();
        charged.record_progress(&progress(5, None));
        assert_eq!((charged.used, charged.reserved()), (0, None));
        charged.record_reservation("2026-11".to_owned(), 100);
        charged.record_progress(&progress(30, Some(60)));
        assert_eq!(charged.used, 50);
        charged.record_progress(&progress(1, Some(60)));
        assert_eq!(charged.used, 50, "it never decreases");
        charged.record_progress(&progress(u64::MAX, Some(1)));
        assert_eq!(charged.used, 100);
        charged.record_reservation("2026-11".to_owned(), 90);
        assert_eq!(charged.reserved(), Some(100));

        let mut slow = Charged::default();
        slow.record_runtime(Duration::from_micros(7));
        assert_eq!(slow.used, 0, "nothing is reserved yet");
        slow.record_reservation("2026-11".to_owned(), 100);
        slow.record_runtime(Duration::from_micros(70));
        slow.record_progress(&progress(1, Some(60)));
        assert_eq!(slow.used, 70);
        slow.record_runtime(Duration::from_secs(1));
        assert_eq!(slow.used, 100);
    }

    #[test]
    fn many_small_requests_cost_one_event_per_step() {
        let mut charged = Charged::default();
        assert_eq!(charged.to_reserve(5), Some(5));
        charged.record_reservation("2026-11".to_owned(), 5);
        assert_eq!((charged.to_reserve(4), charged.to_reserve(5)), (None, None));
        assert_eq!(charged.to_reserve(6), Some(RESERVATION_STEP));
        charged.record_reservation("2026-11".to_owned(), RESERVATION_STEP);
        let mut within_step = (6..=RESERVATION_STEP).step_by(1_000);
        assert!(within_step.all(|needed| charged.to_reserve(needed).is_none()));
        assert_eq!(charged.to_reserve(RESERVATION_STEP + 1), Some(2 * RESERVATION_STEP));
        let three_steps = 3 * RESERVATION_STEP;
        assert_eq!(charged.to_reserve(three_steps), Some(three_steps), "an exact multiple");
    }

    /// Whatever progress the child has reported: the job may be cancelled while the outputs are put at URLs.
    #[test]
    fn outputs_that_are_made_use_the_whole_reservation() {
        let mut charged = Charged { reserved: Some(("2026-11".to_owned(), 9)), used: 5 };
        charged.record_made();
        assert_eq!(charged.used, 9);
        let mut free = Charged::default();
        free.record_made();
        assert_eq!(free.used, 0);
    }

    #[test]
    fn used_time_is_charged_unless_the_service_failed() {
        let used = Charged { reserved: Some(("2026-11".to_owned(), 9)), used: 5 };
        let fail = |code| JobCommand::FailAttempt {
            attempt: 1,
            failure: Failure { code, message: Personal::Erased },
            at: ffapi_domain::Timestamp::default(),
            chance: 0,
        };
        assert!(used.is_charged_after(&JobCommand::ConfirmCancel { attempt: 1 }));
        assert!(used.is_charged_after(&fail(FailureCode::InvalidInput)));
        assert!(used.is_charged_after(&fail(FailureCode::TimeLimitExceeded)));
        assert!(used.is_charged_after(&fail(FailureCode::StorageFull)));
        assert!(used.is_charged_after(&fail(FailureCode::QuotaExceeded)));
        assert!(!used.is_charged_after(&fail(FailureCode::MediaCrashed)));
        assert!(!used.is_charged_after(&fail(FailureCode::StorageUnavailable)));
        assert!(!Charged::default().is_charged_after(&JobCommand::ConfirmCancel { attempt: 1 }));
    }
}
