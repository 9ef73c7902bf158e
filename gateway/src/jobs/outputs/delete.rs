//! Deletion of a completed job's outputs: first the files, then the event. A request that was
//! interrupted in between is repeated by the client, or completed by the job's retention.

use std::sync::Arc;

use ffapi_commands::{Caller, LaterOutputs};
use ffapi_domain::{
    JobId, Tenant,
    job::{DeletedOutput, Job, JobCommand, JobStatus, JobView, OutputFile},
    location::Location,
};
use ffapi_nats::failpoint;

use crate::{
    auth::Principal,
    if_match::version,
    jobs::in_log::{job_after, job_in_log},
    jobs::show::JobBody,
    log_view::{Address, InLog},
    problem::{Kind, Problem},
    reply::Reply,
    state::Gateway,
    tenant_slots::TenantSlots,
    uncancelled::uncancelled,
};

/// A request to delete outputs.
pub(super) struct Deletion {
    pub(super) id: JobId,
    /// The output to delete; all of them if absent.
    pub(super) name: Option<String>,
    pub(super) if_match: Option<String>,
    pub(super) caller: Caller,
}

/// Deletions of one tenant at a time: each reads the log for each file.
static DELETIONS: TenantSlots = TenantSlots::new(2);

/// Deletes the outputs and responds with the job.
pub(super) async fn delete(
    gateway: &Arc<Gateway>,
    principal: &Principal,
    deletion: Deletion,
) -> Result<Reply<200, JobBody>, Problem> {
    let tenant = principal.tenant.clone();
    let busy = || Problem::rate_limited("outputs of other jobs are being deleted; try again", 1);
    let _slot = DELETIONS.acquire(&tenant).await.ok_or_else(busy)?;
    let deleting = carry_out(Arc::clone(gateway), tenant, deletion);
    let InLog { view, position } = uncancelled(deleting).await?;
    let body = gateway.present(principal).job(&view);
    Ok(Reply::new(body).version(view.summary.version).position(position))
}

/// Returns the job as it is after the deletion.
async fn carry_out(
    gateway: Arc<Gateway>,
    tenant: Tenant,
    deletion: Deletion,
) -> Result<InLog<JobView>, Problem> {
    let Deletion { id, name, if_match, caller } = deletion;
    let wanted = if_match.as_deref().map(version).transpose()?.flatten();
    let found = job_in_log(&gateway.commands, &tenant, id).await?;
    let found = found.ok_or_else(|| Problem::not_found("job"))?;
    let job = &found.view;
    if wanted.is_some_and(|wanted| wanted != job.summary.version) {
        let detail = format!("the job's current version is {}", job.summary.version);
        return Err(Problem::new(Kind::PreconditionFailed, detail));
    }
    let Some(targets) = targets(job, name.as_deref())? else { return Ok(found) };
    let storage = gateway.storage.of(&tenant);
    let mut later_outputs = LaterOutputs::new(&gateway.commands, job);
    for file in targets {
        let location =
            file.location.as_ref().and_then(|text| Location::try_from(text.clone()).ok());
        let Some(location) = location else { continue };
        if !later_outputs.contains(&location).await? {
            storage.remove_output(&location, file.size, job.summary.completed_at).await?;
        }
    }
    failpoint::hit("gateway.after_files");
    let only = name
        .is_some()
        .then(|| targets.first())
        .flatten()
        .map(|file| DeletedOutput { name: file.name.clone(), location: file.location.clone() });
    let command = JobCommand::DeleteOutputs { only };
    let handled =
        gateway.commands.handle::<Job>(tenant.as_str(), &id.to_string(), &caller, command).await?;
    job_after(&gateway.commands, Address { tenant: &tenant, id }, &handled, Some(found)).await
}

/// The outputs to delete; none if all are deleted already.
fn targets<'a>(job: &'a JobView, name: Option<&str>) -> Result<Option<&'a [OutputFile]>, Problem> {
    let status = job.summary.status;
    if status != JobStatus::Completed {
        let detail = format!("the job is {}; only a completed job has outputs", status.as_str());
        return Err(Problem::new(Kind::Conflict, detail));
    }
    if job.summary.outputs_expired_at.is_some() {
        return Ok(None);
    }
    if job.outputs.iter().any(OutputFile::is_put) {
        let detail = "the outputs were put at URLs, and only their owner can delete them there";
        return Err(Problem::new(Kind::Conflict, detail));
    }
    let Some(name) = name else { return Ok(Some(&job.outputs)) };
    let is_named = |file: &OutputFile| file.name.as_ref().is_some_and(|own| own == name);
    let index = job.outputs.iter().position(is_named);
    let found = index.and_then(|index| job.outputs.get(index..=index));
    found.map(Some).ok_or_else(|| Problem::not_found("output"))
}
