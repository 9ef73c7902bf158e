use std::sync::Arc;

use ffapi_domain::{
    JobId, Tenant,
    job::{Job, JobState, JobView},
};
use ffapi_nats::Position;
use ffapi_projections::{JobDetail, job_detail};

use super::{show::JobBody, show::show, wait};
use crate::{auth::Principal, problem::Problem, reply::Reply, state::Gateway};

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
    let newest = gateway.read_barrier.newest(gateway.commands.log(), tenant).await;
    let wanted = query.min_position.as_deref().map(str::parse::<Position>);
    let own = |job: &JobView| job.summary.tenant == *tenant;
    // An invalid position is reported by `reach` below.
    let at_least = wanted.map_or(Some(0), |wanted| wanted.ok().map(|wanted| wanted.sequence));
    if query.prefer.is_none()
        && let Some(at_least) = at_least
        && let Some((job, sequence)) = gateway.job_cache.get(&id, at_least, own)
    {
        return Ok(response(gateway, &job, Position { epoch, sequence, index: 0 }));
    }
    gateway
        .positions
        .reach::<JobDetail>(&gateway.database, epoch, query.min_position.as_deref())
        .await?;
    if let Some(timeout) = wait::requested(query.prefer.as_deref()) {
        // Read from the log, because the read model may not have a new job yet.
        let state = gateway.commands.state::<Job>(tenant.as_str(), &id.to_string()).await?;
        if state != JobState::Unknown && !state.is_over() {
            wait::until_over(gateway, tenant, id, timeout).await;
        }
        return Ok(in_log(gateway, tenant, id).await?.waited(Some(timeout)));
    }
    if !gateway.positions.has_reached::<JobDetail>(newest) {
        return in_log(gateway, tenant, id).await;
    }
    let may_cache = gateway.job_cache.is_open();
    let Some((job, sequence)) = job_detail::find(&gateway.database, tenant, id).await? else {
        return in_log(gateway, tenant, id).await;
    };
    let job = Arc::new(job);
    if may_cache {
        gateway.job_cache.insert(id, (Arc::clone(&job), sequence));
    }
    Ok(response(gateway, &job, Position { epoch, sequence, index: 0 }))
}

/// The job as it is in the log now: the read model may be slightly behind it.
async fn in_log(
    gateway: &Gateway,
    tenant: &Tenant,
    id: JobId,
) -> Result<Reply<200, JobBody>, Problem> {
    let found = gateway.job_in_log(tenant, id).await?;
    let (job, position) = found.ok_or_else(|| Problem::not_found("job"))?;
    Ok(response(gateway, &job, position))
}

fn response(gateway: &Gateway, job: &JobView, position: Position) -> Reply<200, JobBody> {
    let progress = gateway.progress.of(&job.summary.id.to_string(), job.summary.attempt);
    Reply::new(show(job, progress.as_ref())).version(job.summary.version).position(position)
}
