//! The media minutes of a job, reserved before any of it is used.

use std::time::Duration;

use ffapi_commands::{Commands, HandleError};
use ffapi_domain::{
    KeyId,
    account::Account,
    dispatch::Release,
    job::{FailureCode, JobCommand},
    key::{Key, KeyState},
    media::Micros,
    quota::{Budget, MINUTE, Month, Quota, QuotaCommand, QuotaRejection},
};
use ffapi_media::{MediaError, protocol::Progress};
use ffapi_nats::CodecError;

use crate::{attempt::AttemptContext, clock};

/// How long between two tries while the log does not answer.
const PATIENCE: Duration = Duration::from_millis(500);

/// Whole steps are reserved after the first time: each reservation is an event.
const STEP: Micros = 10_000_000;

/// What an attempt has reserved, and how much of it is used.
#[derive(Debug, Clone, Default)]
pub(crate) struct Charged {
    reserved: Option<(String, Micros)>,
    used: Micros,
}

impl Charged {
    /// What to reserve for a child that needs so much in all; none if it has as much already.
    pub(crate) fn lacks(&self, needed: Micros) -> Option<Micros> {
        let Some(reserved) = self.reserved() else { return Some(needed) };
        (needed > reserved).then(|| needed.div_ceil(STEP).saturating_mul(STEP))
    }

    /// Takes in that so much is reserved, in a month.
    pub(crate) fn reserve(&mut self, month: String, micros: Micros) {
        self.reserved = Some((month, micros.max(self.reserved().unwrap_or(0))));
    }

    /// What is reserved; none if nothing was asked for.
    pub(crate) fn reserved(&self) -> Option<Micros> {
        self.reserved.as_ref().map(|(_, micros)| *micros)
    }

    /// Takes in how far the work is: never more than what is reserved, and never back.
    pub(crate) fn reach(&mut self, progress: &Progress) {
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

    /// Takes in for how long the work has gone on: whatever it says of itself, a second of it is not less
    /// than a second of media.
    pub(crate) fn ran(&mut self, time: Duration) {
        let time = Micros::try_from(time.as_micros()).unwrap_or(Micros::MAX);
        self.used = self.used.max(time.min(self.reserved().unwrap_or(0)));
    }

    /// True if what was used counts although nothing comes of it: it was called off, or failed for
    /// what was sent. What fails for our sake is free.
    pub(crate) fn counts(&self, outcome: &JobCommand) -> bool {
        let ours = match outcome {
            JobCommand::ConfirmCancel { .. } => false,
            JobCommand::FailAttempt { failure, .. } => !matches!(
                failure.code,
                FailureCode::InvalidInput
                    | FailureCode::Unsupported
                    | FailureCode::TimeLimitExceeded
                    | FailureCode::QuotaExceeded
                    | FailureCode::StorageFull
                    | FailureCode::OutputExists
            ),
            _ => true,
        };
        self.used > 0 && !ours
    }
}

/// Reserves what a job is charged, and answers in which month; fails it if account or key have not so
/// much left.
pub(crate) async fn reserve(
    context: &AttemptContext,
    release: &Release,
    key: Option<KeyId>,
    micros: Micros,
) -> Result<String, MediaError> {
    loop {
        match Box::pin(attempt(context, release, key, micros)).await {
            Ok(month) => return Ok(month),
            Err(HandleError::Rejected(rejection @ QuotaRejection::Exceeded { .. })) => {
                let code = FailureCode::QuotaExceeded;
                return Err(MediaError { code, message: rejection.to_string() });
            }
            Err(error) => {
                tracing::warn!(%error, job = %release.job, "minutes cannot be reserved yet");
                tokio::time::sleep(PATIENCE).await;
            }
        }
    }
}

async fn attempt(
    context: &AttemptContext,
    release: &Release,
    key: Option<KeyId>,
    micros: Micros,
) -> Result<String, HandleError<QuotaRejection>> {
    let (commands, tenant) = (&context.commands, release.tenant.as_str());
    let account = commands.state::<Account>(tenant, tenant).await?;
    let limit = account.limits(&context.sources.tiers).monthly_minutes.saturating_mul(MINUTE);
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

/// What a key may use in a month, and the keys that it was made by.
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
        let of_maker = commands.state::<Key>(tenant, &maker.to_string()).await?;
        makers.push(Budget { key: maker, limit: limit(&of_maker) });
    }
    Ok((limit(&state), makers))
}

/// Settles what was used of a job that ends without outputs. Whoever does not get to do it gives back
/// everything: the conductor settles what is over and still reserved.
pub(crate) async fn settle(context: &AttemptContext, release: &Release, charged: &Charged) {
    let Some((month, _)) = &charged.reserved else { return };
    let tenant = release.tenant.as_str();
    let command = QuotaCommand::Settle { job: release.job, micros: charged.used };
    let settling = context.commands.handle::<Quota>(tenant, month, &context.caller, command);
    if let Err(error) = settling.await {
        tracing::warn!(%error, job = %release.job, "used minutes are not settled");
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
    fn what_is_used_follows_the_work_within_what_is_reserved() {
        let mut charged = Charged::default();
        charged.reach(&progress(5, None));
        assert_eq!((charged.used, charged.reserved()), (0, None));
        charged.reserve("2026-11".to_owned(), 100);
        charged.reach(&progress(30, Some(60)));
        assert_eq!(charged.used, 50);
        charged.reach(&progress(1, Some(60)));
        assert_eq!(charged.used, 50, "never back");
        charged.reach(&progress(u64::MAX, Some(1)));
        assert_eq!(charged.used, 100);
        charged.reserve("2026-11".to_owned(), 90);
        assert_eq!(charged.reserved(), Some(100));

        let mut slow = Charged::default();
        slow.ran(Duration::from_micros(7));
        assert_eq!(slow.used, 0, "nothing was reserved yet");
        slow.reserve("2026-11".to_owned(), 100);
        slow.ran(Duration::from_micros(70));
        slow.reach(&progress(1, Some(60)));
        assert_eq!(slow.used, 70);
        slow.ran(Duration::from_secs(1));
        assert_eq!(slow.used, 100);
    }

    #[test]
    fn a_child_that_asks_for_ever_so_little_more_costs_one_event_a_step() {
        let mut charged = Charged::default();
        assert_eq!(charged.lacks(5), Some(5));
        charged.reserve("2026-11".to_owned(), 5);
        assert_eq!((charged.lacks(4), charged.lacks(5)), (None, None));
        assert_eq!(charged.lacks(6), Some(STEP));
        charged.reserve("2026-11".to_owned(), STEP);
        assert!((6..=STEP).step_by(1_000).all(|needed| charged.lacks(needed).is_none()));
        assert_eq!(charged.lacks(STEP + 1), Some(2 * STEP));
        assert_eq!(charged.lacks(3 * STEP), Some(3 * STEP), "the child asks for whole steps");
    }

    #[test]
    fn what_was_used_counts_unless_it_failed_for_our_sake() {
        let used = Charged { reserved: Some(("2026-11".to_owned(), 9)), used: 5 };
        let fail = |code| JobCommand::FailAttempt {
            attempt: 1,
            failure: Failure { code, message: Personal::Erased },
            at: ffapi_domain::Timestamp::default(),
            chance: 0,
        };
        assert!(used.counts(&JobCommand::ConfirmCancel { attempt: 1 }));
        assert!(used.counts(&fail(FailureCode::InvalidInput)));
        assert!(used.counts(&fail(FailureCode::TimeLimitExceeded)));
        assert!(used.counts(&fail(FailureCode::StorageFull)));
        assert!(used.counts(&fail(FailureCode::QuotaExceeded)));
        assert!(!used.counts(&fail(FailureCode::MediaCrashed)));
        assert!(!used.counts(&fail(FailureCode::StorageUnavailable)));
        assert!(!Charged::default().counts(&JobCommand::ConfirmCancel { attempt: 1 }));
    }
}
