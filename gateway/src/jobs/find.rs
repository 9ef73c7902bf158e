use std::sync::Arc;

use ffapi_domain::{
    JobId,
    job::{Job, JobState, JobView},
};
use ffapi_nats::Position;
use ffapi_projections::{JobDetail, job_detail};

use super::{show::JobBody, show::show, wait};
use crate::{auth::Principal, problem::Problem, reply::Reply, state::Gateway};

/// How a job is asked for.
pub(crate) struct JobQuery {
    pub(crate) min_position: Option<String>,
    pub(crate) prefer: Option<String>,
}

pub(crate) async fn find(
    gateway: &Gateway,
    principal: &Principal,
    id: JobId,
    asked: JobQuery,
) -> Result<Reply<200, JobBody>, Problem> {
    let epoch = gateway.commands.log().identity().epoch;
    let tenant = &principal.tenant;
    let wanted = asked.min_position.as_deref().map(str::parse::<Position>);
    let own = |job: &JobView| job.summary.tenant == *tenant;
    // What is no position is told below, with what would be one.
    let at_least = wanted.map_or(Some(0), |wanted| wanted.ok().map(|wanted| wanted.sequence));
    if asked.prefer.is_none()
        && let Some(at_least) = at_least
        && let Some((job, sequence)) = gateway.rows.find(&id, at_least, own)
    {
        return Ok(answer(gateway, &job, Position { epoch, sequence, index: 0 }));
    }
    gateway
        .positions
        .reach::<JobDetail>(&gateway.database, epoch, asked.min_position.as_deref())
        .await?;
    if let Some(patience) = wait::patience(asked.prefer.as_deref()) {
        // Asked of the log: the rows may not have a new job yet.
        let state = gateway.commands.state::<Job>(tenant.as_str(), &id.to_string()).await?;
        if state != JobState::Unknown && !state.is_over() {
            wait::for_the_end(gateway, tenant, id, patience).await;
        }
        // What was waited for stands in the log; the rows may be a moment behind.
        let found = gateway.job_in_log(tenant, id).await?;
        let (job, position) = found.ok_or_else(|| Problem::not_found("job"))?;
        return Ok(answer(gateway, &job, position));
    }
    let may_keep = gateway.rows.are_open();
    let found = job_detail::find(&gateway.database, tenant, id).await?;
    let (job, sequence) = found.ok_or_else(|| Problem::not_found("job"))?;
    let job = Arc::new(job);
    if may_keep {
        gateway.rows.keep(id, (Arc::clone(&job), sequence));
    }
    Ok(answer(gateway, &job, Position { epoch, sequence, index: 0 }))
}

fn answer(gateway: &Gateway, job: &JobView, position: Position) -> Reply<200, JobBody> {
    let told = gateway.progress.of(&job.summary.id.to_string(), job.summary.attempt);
    Reply::new(show(job, told.as_ref())).version(job.summary.version).position(position)
}
