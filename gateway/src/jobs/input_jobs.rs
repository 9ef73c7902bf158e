//! Checks inputs that are outputs of other jobs.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use ffapi_domain::{
    JobId, Tenant,
    job::{JobView, OutputMissing},
    location::Location,
    media::MediaRequest,
};

use super::find;
use crate::{
    problem::{Kind, Problem},
    state::Gateway,
};

/// The requests of the jobs that are submitted together with a job.
pub(crate) type BatchRequests<'a> = BTreeMap<JobId, &'a MediaRequest>;

/// Rejects inputs that are outputs which their jobs do not have and will not make.
pub(crate) async fn check(
    gateway: &Gateway,
    tenant: &Tenant,
    request: &MediaRequest,
    batch: &BatchRequests<'_>,
) -> Result<(), Problem> {
    let refuse = |detail: String| Err(Problem::field(Kind::Invalid, "#/input", detail));
    let mut found: BTreeMap<JobId, Arc<JobView>> = BTreeMap::new();
    for (input, _) in request.inputs() {
        let Some(Location::JobOutput { job, name }) = input.as_ref() else { continue };
        let checked = if let Some(request) = batch.get(job) {
            request.may_make(*job, name)
        } else {
            let view = match found.entry(*job) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => match find::current(gateway, tenant, *job).await {
                    Ok((view, _)) => unknown.insert(view),
                    Err(problem) if problem.kind() == Kind::NotFound => {
                        return refuse(format!(
                            "there is no {job}; an input can be an output of an existing job"
                        ));
                    }
                    Err(problem) => return Err(problem),
                },
            };
            view.find_output(name).map(|_| ())
        };
        match checked {
            Ok(()) | Err(OutputMissing::NotYet(_)) => {}
            Err(missing) => return refuse(missing.to_string()),
        }
    }
    Ok(())
}
