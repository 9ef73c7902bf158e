//! Retries of jobs that failed or were cancelled.

use std::time::Duration;

use ffapi_commands::Caller;
use ffapi_domain::{
    JobId, Personal, Tenant,
    job::{Job, JobCommand, JobStatus, JobSummary, JobView, MAX_ATTEMPTS},
    location::Location,
};

use super::in_log::{job_after, job_in_log};
use crate::{
    intake::{Admission, Load, OutputClaim, SUBMIT_TIME, reserve_all},
    log_view::{Address, InLog},
    problem::Problem,
    state::Gateway,
};

/// Retries a job, if it has this version; any if none is given. Returns the job after that.
///
/// # Errors
/// When it cannot be retried, another job has reserved its output since, or the account's queue is full.
pub(crate) async fn retry(
    gateway: &Gateway,
    tenant: &Tenant,
    caller: &Caller,
    id: JobId,
    version: Option<u64>,
) -> Result<InLog<JobView>, Problem> {
    let admission = Admission::of(gateway, tenant, Load::retry()).await?;
    // A job that cannot be retried is rejected by the aggregate, with the reason.
    let found = job_in_log(&gateway.commands, tenant, id).await?;
    let found = found.ok_or_else(|| Problem::not_found("job"))?;
    let retryable = Retryable::of(&found);
    let claim = retryable.as_ref().and_then(|retryable| retryable.claim(SUBMIT_TIME));
    reserve_all(gateway, tenant, caller, claim.as_slice()).await?;
    let command = JobCommand::Retry { lease: admission.lease() };
    let name = id.to_string();
    let retry = gateway.commands.handle_if::<Job>(tenant.as_str(), &name, caller, command, version);
    let retried = admission.spend(retry).await?;
    job_after(&gateway.commands, Address { tenant, id }, &retried, Some(found)).await
}

/// A job that can be retried.
pub(crate) struct Retryable {
    pub(crate) job: JobId,
    output: Option<Location>,
    /// Sequence of its newest message.
    job_sequence: u64,
}

impl Retryable {
    /// None if a job cannot be retried: it did not fail and was not cancelled, or had as many attempts as
    /// a job may have.
    fn of(InLog { view, position }: &InLog<JobView>) -> Option<Self> {
        let JobSummary { id, status, attempt, output, .. } = &view.summary;
        let has_ended = matches!(status, JobStatus::Failed | JobStatus::Cancelled);
        (has_ended && *attempt < MAX_ATTEMPTS).then(|| Self {
            job: *id,
            output: output.as_ref().and_then(Personal::as_ref).cloned(),
            job_sequence: position.sequence,
        })
    }

    /// The claim of its output, if it has one, for a retry that takes up to this long.
    pub(crate) fn claim(&self, within: Duration) -> Option<OutputClaim<'_>> {
        let output = self.output.as_ref()?;
        Some(OutputClaim {
            job: self.job,
            job_sequence: self.job_sequence,
            output,
            within,
            part: "",
        })
    }
}

/// A job as it can be retried now; none if it cannot.
///
/// # Errors
/// 404 without such a job.
pub(crate) async fn retryable(
    gateway: &Gateway,
    tenant: &Tenant,
    id: JobId,
) -> Result<Option<Retryable>, Problem> {
    let found = job_in_log(&gateway.commands, tenant, id).await?;
    Ok(Retryable::of(&found.ok_or_else(|| Problem::not_found("job"))?))
}
