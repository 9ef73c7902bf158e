use domain::{
    JobId,
    job::{Job, JobState},
};
use nats::Position;

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
    gateway.positions.reach(&gateway.database, epoch, asked.min_position.as_deref()).await?;
    if let Some(patience) = wait::patience(asked.prefer.as_deref()) {
        // Asked of the log: the rows may not have a new job yet.
        let state = gateway.commands.state::<Job>(tenant.as_str(), &id.to_string()).await?;
        if state != JobState::Unknown && !state.is_over() {
            wait::for_the_end(gateway, tenant, id, patience).await;
        }
        // What was waited for stands in the log; the rows may be a moment behind.
        let found = gateway.job_in_log(tenant, id).await?;
        let (job, position) = found.ok_or_else(|| Problem::not_found("job"))?;
        return Ok(Reply::new(show(&job, None)).version(job.version).position(position));
    }
    let found = projections::jobs::find(&gateway.database, tenant, id).await?;
    let row = found.ok_or_else(|| Problem::not_found("job"))?;
    let told = gateway.progress.of(&id.to_string(), row.job.attempt);
    let position = Position { epoch, sequence: row.sequence, index: 0 };
    let version = row.job.version;
    Ok(Reply::new(show(&row.job, told.as_ref())).version(version).position(position))
}
