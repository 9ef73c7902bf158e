use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ffapi_commands::{Caller, HandleError, output_name_id};
use ffapi_domain::{
    JobId, Personal, Tenant,
    job::{Job, JobState, JobStatus, JobSummary, MAX_ATTEMPTS},
    location::Location,
    output::{Output, OutputCommand, OutputRejection},
};

use crate::{
    problem::{Kind, Problem},
    state::Gateway,
};

/// Reserves the output of a job again before a retry, because another job may have reserved it
/// since. False if the job cannot be retried: it did not fail and was not cancelled, or had as many
/// attempts as a job may have.
pub(crate) async fn reserve_again(
    gateway: &Gateway,
    tenant: &Tenant,
    caller: &Caller,
    job: JobId,
) -> Result<bool, Problem> {
    let found = gateway.job_in_log(tenant, job).await?;
    let (job, _) = found.ok_or_else(|| Problem::not_found("job"))?;
    let JobSummary { id, status, attempt, output, .. } = &job.summary;
    if !matches!(status, JobStatus::Failed | JobStatus::Cancelled) || *attempt >= MAX_ATTEMPTS {
        return Ok(false);
    }
    if let Some(output) = output.as_ref().and_then(Personal::as_ref) {
        reserve(gateway, tenant, caller, *id, output).await?;
    }
    Ok(true)
}

/// Reserves an output for a job: no two live jobs write the same file.
///
/// The reservation of a job that has ended is taken over; so is that of a job that was not submitted
/// within `SUBMIT_TIME`.
///
/// # Errors
/// A conflict if a live job holds the output.
pub(crate) async fn reserve(
    gateway: &Gateway,
    tenant: &Tenant,
    caller: &Caller,
    job: JobId,
    output: &Location,
) -> Result<(), Problem> {
    let name = output_name_id(output);
    let mut over = None;
    loop {
        let command = OutputCommand::Reserve { job, over };
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

/// Checks that no live job holds an output, without reserving it.
///
/// # Errors
/// As [`reserve`].
pub(crate) async fn check_free(
    gateway: &Gateway,
    tenant: &Tenant,
    output: &Location,
) -> Result<(), Problem> {
    let state = gateway.commands.state::<Output>(tenant.as_str(), &output_name_id(output)).await?;
    match state.holder {
        Some(holder) => check_given_up(gateway, tenant, holder).await,
        None => Ok(()),
    }
}

/// Checks that the holder of an output has ended, or will not be submitted any more.
async fn check_given_up(gateway: &Gateway, tenant: &Tenant, holder: JobId) -> Result<(), Problem> {
    let state = gateway.commands.state::<Job>(tenant.as_str(), &holder.to_string()).await?;
    let detail = match state {
        JobState::Unknown if may_still_come(holder) => format!(
            "{holder} reserved this output and is not submitted yet; choose another name, or try \
             again in a minute"
        ),
        JobState::Unknown => return Ok(()),
        state if state.is_over() => return Ok(()),
        _ => format!("{holder} is writing this output; choose another name"),
    };
    Err(Problem::field(Kind::Conflict, "#/output", detail))
}

/// How long a job may take from the reservation of its output to its submission; the jobs of a
/// batch are submitted one after the other.
const SUBMIT_TIME: Duration = Duration::from_mins(1);

/// True if a job with this id may still be submitted, by the time in it.
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
