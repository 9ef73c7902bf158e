use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ffapi_commands::{Caller, HandleError, output_name_id};
use ffapi_domain::{
    JobId, Personal, Tenant,
    job::{Job, JobState, JobStatus, JobSummary, MAX_ATTEMPTS},
    location::Location,
    output::{Output, OutputCommand, OutputRejection, Reservation},
};

use super::in_log::job_in_log;
use crate::{
    clock,
    problem::{Kind, Problem},
    state::Gateway,
};

/// Reserves the output of a job again before a retry, because another job may have reserved it
/// since. False if the job [cannot be retried](retryable).
pub(crate) async fn reserve_again(
    gateway: &Gateway,
    tenant: &Tenant,
    caller: &Caller,
    job: JobId,
) -> Result<bool, Problem> {
    let Some(Retryable { output, job_sequence }) = retryable(gateway, tenant, job).await? else {
        return Ok(false);
    };
    if let Some(output) = output {
        let claim = Claim { job, job_sequence, within: SUBMIT_TIME };
        reserve(gateway, tenant, caller, claim, &output).await?;
    }
    Ok(true)
}

/// A job that can be retried.
pub(crate) struct Retryable {
    pub(crate) output: Option<Location>,
    /// Sequence of its newest message.
    pub(crate) job_sequence: u64,
}

/// None if a job cannot be retried: it did not fail and was not cancelled, or had as many attempts as a
/// job may have.
///
/// # Errors
/// 404 without such a job.
pub(crate) async fn retryable(
    gateway: &Gateway,
    tenant: &Tenant,
    job: JobId,
) -> Result<Option<Retryable>, Problem> {
    let found = job_in_log(&gateway.commands, tenant, job).await?;
    let (job, position) = found.ok_or_else(|| Problem::not_found("job"))?;
    let JobSummary { status, attempt, output, .. } = &job.summary;
    let has_ended = matches!(status, JobStatus::Failed | JobStatus::Cancelled);
    Ok((has_ended && *attempt < MAX_ATTEMPTS).then(|| Retryable {
        output: output.as_ref().and_then(Personal::as_ref).cloned(),
        job_sequence: position.sequence,
    }))
}

/// A job that is about to be submitted or retried.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claim {
    pub(crate) job: JobId,
    /// Sequence of its newest message; 0 for a new job.
    pub(crate) job_sequence: u64,
    /// How long that may take: afterwards others may reserve the output.
    pub(crate) within: Duration,
}

/// How long a job may take from the reservation of its output to its submission or retry.
pub(crate) const SUBMIT_TIME: Duration = Duration::from_mins(1);
/// The same for the jobs of a batch, which are submitted one after the other.
pub(crate) const BATCH_SUBMIT_TIME: Duration = Duration::from_mins(10);

impl Claim {
    /// Of a job that does not exist yet.
    pub(crate) const fn of_new(job: JobId, within: Duration) -> Self {
        Self { job, job_sequence: 0, within }
    }
}

/// Reserves an output for a job: no two live jobs write the same file.
///
/// The reservation of a job that has ended since, or that was not submitted or retried in time, is taken
/// over.
///
/// # Errors
/// A conflict if another job holds the output.
pub(crate) async fn reserve(
    gateway: &Gateway,
    tenant: &Tenant,
    caller: &Caller,
    claim: Claim,
    output: &Location,
) -> Result<(), Problem> {
    let name = output_name_id(output);
    let reservation = Reservation {
        job: claim.job,
        job_sequence: Some(claim.job_sequence),
        until: Some(clock::now().plus(claim.within)),
    };
    let mut over = None;
    loop {
        let command = OutputCommand::Reserve { reservation, over };
        let outcome =
            gateway.commands.handle::<Output>(tenant.as_str(), &name, caller, command).await;
        match outcome {
            Ok(_) => return Ok(()),
            Err(HandleError::Rejected(OutputRejection::HeldBy { holder })) => {
                check_given_up(gateway, tenant, holder).await?;
                over = Some(holder);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Checks that no other job holds an output, without reserving it.
///
/// # Errors
/// As [`reserve`].
pub(crate) async fn check_free(
    gateway: &Gateway,
    tenant: &Tenant,
    job: JobId,
    output: &Location,
) -> Result<(), Problem> {
    let state = gateway.commands.state::<Output>(tenant.as_str(), &output_name_id(output)).await?;
    match state.holder.filter(|holder| holder.job != job) {
        Some(holder) => check_given_up(gateway, tenant, holder).await,
        None => Ok(()),
    }
}

/// Checks that the job that holds an output has ended since it reserved it, or was not submitted or
/// retried in time.
async fn check_given_up(
    gateway: &Gateway,
    tenant: &Tenant,
    holder: Reservation,
) -> Result<(), Problem> {
    let Reservation { job, job_sequence, until } = holder;
    let (state, sequence) =
        gateway.commands.state_at::<Job>(tenant.as_str(), &job.to_string()).await?;
    let is_pending = match until {
        Some(until) => job_sequence == Some(sequence) && clock::now() < until,
        None => state == JobState::Unknown && may_still_come(job),
    };
    let detail = if is_pending {
        format!(
            "{job} reserved this output and is about to be submitted; choose another name, or try \
             again in a minute"
        )
    } else if state == JobState::Unknown || state.is_over() {
        return Ok(());
    } else {
        format!("{job} is writing this output; choose another name")
    };
    Err(Problem::field(Kind::Conflict, "#/output", detail))
}

/// True if a job with this id may still be submitted, by the time in it: reservations of earlier versions
/// have no time.
fn may_still_come(job: JobId) -> bool {
    let Some(created) = job.uuid().get_timestamp() else { return false };
    let (seconds, nanos) = created.to_unix();
    let created = UNIX_EPOCH + Duration::new(seconds, nanos);
    SystemTime::now().duration_since(created).is_ok_and(|age| age < SUBMIT_TIME)
}

#[cfg(test)]
mod tests {
    use uuid::{NoContext, Timestamp, Uuid};

    use super::*;

    #[test]
    fn a_job_may_be_submitted_for_a_minute_after_its_id_was_made() {
        let made = |seconds| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
            let at = Timestamp::from_unix(NoContext, now - seconds, 0);
            JobId::from_uuid(Uuid::new_v7(at))
        };
        assert!(may_still_come(made(1)));
        assert!(!may_still_come(made(61)));
    }
}
