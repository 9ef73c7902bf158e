//! The media minutes of a job, reserved before any of them is used.

use std::time::Duration;

use commands::HandleError;
use domain::{
    KeyId,
    account::Account,
    dispatch::Release,
    job::FailureCode,
    key::Key,
    media::Micros,
    quota::{MINUTE, Month, Quota, QuotaCommand, QuotaRejection},
};
use media::MediaError;

use crate::{attempt::Workshop, clock};

/// How long between two tries while the log does not answer.
const PATIENCE: Duration = Duration::from_millis(500);

/// Reserves what a job is charged; fails it if account or key have not so much left.
pub(crate) async fn reserve(
    workshop: &Workshop,
    release: &Release,
    key: Option<KeyId>,
    micros: Micros,
) -> Result<(), MediaError> {
    loop {
        match attempt(workshop, release, key, micros).await {
            Ok(()) => return Ok(()),
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
    workshop: &Workshop,
    release: &Release,
    key: Option<KeyId>,
    micros: Micros,
) -> Result<(), HandleError<QuotaRejection>> {
    let (commands, tenant) = (&workshop.commands, release.tenant.as_str());
    let account = commands.state::<Account>(tenant, tenant).await?;
    let limit = account.limits(&workshop.sources.tiers).monthly_minutes.saturating_mul(MINUTE);
    let key_limit = match key {
        Some(key) => {
            let state = commands.state::<Key>(tenant, &key.to_string()).await?;
            let minutes = state.key().and_then(|key| key.terms.monthly_limit_minutes);
            minutes.map(|minutes| minutes.saturating_mul(MINUTE))
        }
        None => None,
    };
    let command = QuotaCommand::Reserve { job: release.job, key, micros, limit, key_limit };
    let month = Month::of(clock::now()).to_string();
    commands.handle::<Quota>(tenant, &month, &workshop.caller, command).await?;
    Ok(())
}
