use std::sync::Arc;

use ffapi_domain::{
    JobId, Tenant,
    job::{Job, JobState, JobView},
};
use ffapi_nats::Position;
use ffapi_projections::{JobDetail, job_detail};

use super::{in_log::job_in_log, show::JobBody, wait};
use crate::{auth::Principal, log_view::InLog, problem::Problem, reply::Reply, state::Gateway};

/// Query parameters and headers of `GET /jobs/{id}`.
pub(crate) struct JobQuery {
    pub(crate) min_position: Option<String>,
    pub(crate) prefer: Option<String>,
}

pub(crate) async fn find(
    gateway: &Gateway,
    principal: &Principal,
    id: JobId,
    query: JobQuery,
) -> Result<Reply<200, JobBody>, Problem> {
    let epoch = gateway.commands.log().identity().epoch;
    let tenant = &principal.tenant;
    let newest = gateway.reads.newest(tenant).await;
    let wanted = query.min_position.as_deref().map(str::parse::<Position>);
    let own = |job: &JobView| job.summary.tenant == *tenant;
    // An invalid position is reported by `reach` below.
    let at_least = wanted.map_or(Some(0), |wanted| wanted.ok().map(|wanted| wanted.sequence));
    if query.prefer.is_none()
        && let Some(at_least) = at_least
        && let Some((job, sequence)) = gateway.caches.jobs.get(&id, at_least, own)
    {
        return Ok(response(gateway, principal, &job, Position { epoch, sequence, index: 0 }));
    }
    gateway.reads.reach::<JobDetail>(query.min_position.as_deref()).await?;
    if let Some(timeout) = wait::requested(query.prefer.as_deref()) {
        // Read from the log, because the read model may not have a new job yet.
        let state = gateway.commands.state::<Job>(tenant.as_str(), &id.to_string()).await?;
        if state != JobState::Unknown && !state.is_over() {
            wait::until_over(gateway, tenant, id, timeout).await;
        }
        return Ok(in_log(gateway, principal, id).await?.waited(Some(timeout)));
    }
    let (job, position) = read(gateway, tenant, id, newest).await?;
    Ok(response(gateway, principal, &job, position))
}

/// A job in the cache, which may be older than the log.
pub(super) fn cached(gateway: &Gateway, tenant: &Tenant, id: JobId) -> Option<InLog<JobView>> {
    let own = |job: &JobView| job.summary.tenant == *tenant;
    let (job, sequence) = gateway.caches.jobs.get(&id, 0, own)?;
    let epoch = gateway.commands.log().identity().epoch;
    let position = Position { epoch, sequence, index: 0 };
    Some(InLog { view: Arc::unwrap_or_clone(job), position })
}

/// A job as it is now, with everything that the tenant may know of.
///
/// # Errors
/// 404 without such a job.
pub(super) async fn current(
    gateway: &Gateway,
    tenant: &Tenant,
    id: JobId,
) -> Result<(Arc<JobView>, Position), Problem> {
    let newest = gateway.reads.newest(tenant).await;
    read(gateway, tenant, id, newest).await
}

/// The job from its row, if that contains the tenant's events up to `newest`, or else from the log.
async fn read(
    gateway: &Gateway,
    tenant: &Tenant,
    id: JobId,
    newest: u64,
) -> Result<(Arc<JobView>, Position), Problem> {
    let may_cache = gateway.caches.jobs.is_open();
    if gateway.reads.have_reached::<JobDetail>(newest)
        && let Some((job, sequence)) = job_detail::find(&gateway.database, tenant, id).await?
    {
        let job = Arc::new(job);
        if may_cache {
            gateway.caches.jobs.insert(id, (Arc::clone(&job), sequence));
        }
        let epoch = gateway.commands.log().identity().epoch;
        return Ok((job, Position { epoch, sequence, index: 0 }));
    }
    let found = job_in_log(&gateway.commands, tenant, id).await?;
    let InLog { view, position } = found.ok_or_else(|| Problem::not_found("job"))?;
    Ok((Arc::new(view), position))
}

/// The job as it is in the log now: the read model may be slightly behind it.
async fn in_log(
    gateway: &Gateway,
    principal: &Principal,
    id: JobId,
) -> Result<Reply<200, JobBody>, Problem> {
    let found = job_in_log(&gateway.commands, &principal.tenant, id).await?;
    let InLog { view, position } = found.ok_or_else(|| Problem::not_found("job"))?;
    Ok(response(gateway, principal, &view, position))
}

fn response(
    gateway: &Gateway,
    principal: &Principal,
    job: &JobView,
    position: Position,
) -> Reply<200, JobBody> {
    let body = gateway.present(principal).job(job);
    Reply::new(body).version(job.summary.version).position(position)
}
