//! The names of outputs: no two live jobs write the same file.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ffapi_commands::{Caller, HandleError, output_name_id};
use ffapi_domain::{
    JobId, Tenant,
    job::{Job, JobSpec, JobState},
    location::Location,
    output::{Output, OutputCommand, OutputRejection, Reservation},
};
use futures::{FutureExt, TryFutureExt};

use crate::{
    clock,
    join_in_chunks::join_in_chunks,
    problem::{Kind, Problem},
    state::Gateway,
};

/// The claim of a job that is about to be submitted or retried to its output.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OutputClaim<'a> {
    pub(crate) job: JobId,
    /// Sequence of the job's newest message; 0 for a new job.
    pub(crate) job_sequence: u64,
    pub(crate) output: &'a Location,
    /// How long the submission may take: afterwards others may reserve the output.
    pub(crate) within: Duration,
    /// The part of the request that the job is in, like `/jobs/3`; empty for the whole request.
    pub(crate) part: &'a str,
}

/// How long a job may take from the reservation of its output to its submission or retry.
pub(crate) const SUBMIT_TIME: Duration = Duration::from_mins(1);
/// The same for the jobs of a batch, which are submitted one after the other.
pub(crate) const BATCH_SUBMIT_TIME: Duration = Duration::from_mins(10);

impl<'a> OutputClaim<'a> {
    /// Of a job that does not exist yet; none if it has no output.
    pub(crate) fn of_new(job: JobId, spec: &'a JobSpec, within: Duration) -> Option<Self> {
        let output = spec.request.output()?.as_ref()?;
        Some(Self { job, job_sequence: 0, output, within, part: "" })
    }

    fn problem(&self, problem: Problem) -> Problem {
        if self.part.is_empty() { problem } else { problem.within(self.part) }
    }
}

/// Reserves the outputs of jobs: no two live jobs write the same file. All of them are checked before the
/// first is reserved, so that a corrected request can follow at once.
///
/// # Errors
/// A conflict if another job holds one of the outputs.
pub(crate) async fn reserve_all(
    gateway: &Gateway,
    tenant: &Tenant,
    caller: &Caller,
    claims: &[OutputClaim<'_>],
) -> Result<(), Problem> {
    // The reservation of a single one checks it.
    if claims.len() > 1 {
        let checks = claims.iter().map(|claim| {
            check_free(gateway, tenant, claim).map_err(|problem| claim.problem(problem)).boxed()
        });
        join_in_chunks(checks).await.into_iter().collect::<Result<(), Problem>>()?;
    }
    let reservations = claims.iter().map(|claim| {
        reserve(gateway, tenant, caller, claim).map_err(|problem| claim.problem(problem)).boxed()
    });
    join_in_chunks(reservations).await.into_iter().collect()
}

/// Reserves an output for a job.
///
/// The reservation of a job that has ended since, or that was not submitted or retried in time, is taken
/// over.
///
/// # Errors
/// A conflict if another job holds the output.
async fn reserve(
    gateway: &Gateway,
    tenant: &Tenant,
    caller: &Caller,
    claim: &OutputClaim<'_>,
) -> Result<(), Problem> {
    let name = output_name_id(claim.output);
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
async fn check_free(
    gateway: &Gateway,
    tenant: &Tenant,
    claim: &OutputClaim<'_>,
) -> Result<(), Problem> {
    let name = output_name_id(claim.output);
    let state = gateway.commands.state::<Output>(tenant.as_str(), &name).await?;
    match state.holder.filter(|holder| holder.job != claim.job) {
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
