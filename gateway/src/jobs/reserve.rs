use ffapi_commands::{Caller, HandleError};
use ffapi_domain::{
    JobId, Personal, Tenant,
    job::{Job, JobState, JobStatus, JobSummary},
    location::Location,
    output::{Output, OutputCommand, OutputRejection},
};
use sha2::{Digest, Sha256};

use crate::{
    problem::{Kind, Problem},
    state::Gateway,
};

/// Reserves the output of a job that is to be tried again: another may have taken its name since. False
/// if there is nothing to try again.
pub(crate) async fn reserve_again(
    gateway: &Gateway,
    tenant: &Tenant,
    caller: &Caller,
    job: JobId,
) -> Result<bool, Problem> {
    let found = gateway.job_in_log(tenant, job).await?;
    let (job, _) = found.ok_or_else(|| Problem::not_found("job"))?;
    let JobSummary { id, status, output, .. } = &job.summary;
    if !matches!(status, JobStatus::Failed | JobStatus::Cancelled) {
        return Ok(false);
    }
    if let Some(output) = output.as_ref().and_then(Personal::as_ref) {
        reserve(gateway, tenant, caller, *id, output).await?;
    }
    Ok(true)
}

/// Reserves an output name for a job: two live jobs never make the same file.
///
/// A holder that is over, or whose submission never came, gives way. Should two of the latter
/// race, the name still goes to one: delivering never replaces what it was not asked to.
pub(crate) async fn reserve(
    gateway: &Gateway,
    tenant: &Tenant,
    caller: &Caller,
    job: JobId,
    output: &Location,
) -> Result<(), Problem> {
    // Names can hold what a subject cannot, and are nobody's business.
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
                    let detail = format!("{holder} is making this output; choose another name");
                    return Err(Problem::field(Kind::Conflict, "#/output", detail));
                }
                over = Some(holder);
            }
            Err(error) => return Err(error.into()),
        }
    }
}
