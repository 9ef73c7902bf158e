use commands::{Caller, HandleError};
use domain::{
    JobId, Tenant,
    job::{Job, JobState},
    location::Location,
    output::{Output, OutputCommand, OutputRejection},
};
use sha2::{Digest, Sha256};

use crate::{
    problem::{Kind, Problem},
    state::Gateway,
};

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
                    let detail = format!("{holder} is making this output; name another one");
                    return Err(Problem::field(Kind::Conflict, "#/output", detail));
                }
                over = Some(holder);
            }
            Err(error) => return Err(error.into()),
        }
    }
}
