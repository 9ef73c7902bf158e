//! Checks inputs that are outputs of other jobs.

use std::collections::BTreeMap;

use ffapi_domain::{
    JobId, Personal, Tenant, job::OutputMissing, location::Location, media::MediaRequest,
};

use crate::{
    problem::{Kind, Problem},
    state::Gateway,
};

/// The requests of the jobs that are submitted together with a job.
pub(crate) type BatchRequests<'a> = BTreeMap<JobId, &'a MediaRequest>;

/// Rejects an input that is an output which its job does not have and will not make.
pub(crate) async fn check(
    gateway: &Gateway,
    tenant: &Tenant,
    input: &Personal<Location>,
    batch: &BatchRequests<'_>,
) -> Result<(), Problem> {
    let Some(Location::JobOutput { job, name }) = input.as_ref() else { return Ok(()) };
    let checked = if let Some(request) = batch.get(job) {
        request.may_make(*job, name)
    } else {
        let Some((job, _)) = gateway.job_in_log(tenant, *job).await? else {
            let detail = format!("there is no {job}; an input can be an output of an existing job");
            return Err(Problem::field(Kind::Invalid, "#/input", detail));
        };
        job.find_output(name).map(|_| ())
    };
    match checked {
        Ok(()) | Err(OutputMissing::NotYet(_)) => Ok(()),
        Err(missing) => Err(Problem::field(Kind::Invalid, "#/input", missing.to_string())),
    }
}
