use ffapi_commands::{Caller, HandleError};
use ffapi_domain::{
    JobId, Personal, Tenant,
    job::{Job, JobState, JobStatus, JobSummary, MAX_ATTEMPTS},
    location::Location,
    output::{Output, OutputCommand, OutputRejection},
};
use sha2::{Digest, Sha256};

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
/// The reservation of a job that has ended, or was never submitted, is taken over. If two jobs race
/// for it, still only one delivers: delivery never replaces a file unless the request says so.
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
    // Hashed, because names are private and may hold characters that a subject cannot.
    let hash = hex::encode(Sha256::digest(output.to_string()));
    let mut over = None;
    loop {
        let command = OutputCommand::Reserve { job, over };
        let outcome =
            gateway.commands.handle::<Output>(tenant.as_str(), &hash, caller, command).await;
        match outcome {
            Ok(_) => return Ok(()),
            Err(HandleError::Rejected(OutputRejection::HeldBy { holder })) => {
                let id = holder.to_string();
                let state = gateway.commands.state::<Job>(tenant.as_str(), &id).await?;
                if !state.is_over() && state != JobState::Unknown {
                    let detail = format!("{holder} is writing this output; choose another name");
                    return Err(Problem::field(Kind::Conflict, "#/output", detail));
                }
                over = Some(holder);
            }
            Err(error) => return Err(error.into()),
        }
    }
}
