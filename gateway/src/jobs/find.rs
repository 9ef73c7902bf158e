use domain::{
    JobId,
    job::{Job, JobState},
};
use nats::Position;
use projections::{JobDetail, job_detail};

use super::{show::JobBody, show::show, wait};
use crate::{auth::Principal, problem::Problem, reply::Reply, state::Gateway};

/// How a job is asked for.
pub(crate) struct Asked {
    pub(crate) min_position: Option<String>,
    pub(crate) prefer: Option<String>,
}

pub(crate) async fn find(
    gateway: &Gateway,
    principal: &Principal,
    id: JobId,
    asked: Asked,
) -> Result<Reply<200, JobBody>, Problem> {
    let epoch = gateway.commands.log().identity().epoch;
    let tenant = &principal.tenant;
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
        return Ok(Reply::new(show(&job, None)).version(job.summary.version).position(position));
    }
    let found = job_detail::find(&gateway.database, tenant, id).await?;
    let (job, sequence) = found.ok_or_else(|| Problem::not_found("job"))?;
    let told = gateway.progress.of(&id.to_string(), job.summary.attempt);
    let position = Position { epoch, sequence, index: 0 };
    Ok(Reply::new(show(&job, told.as_ref())).version(job.summary.version).position(position))
}
