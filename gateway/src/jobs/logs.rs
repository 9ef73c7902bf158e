use ffapi_domain::{Decider, JobId, job::Job};
use poem_openapi::{Object, types::Any};
use serde_json::Value;

use crate::{auth::Principal, problem::Problem, reply::Reply, state::Gateway};

/// A page of log lines.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
pub(crate) struct LogPage {
    /// Lines with `level`, `stage`, `time`, `attempt` and `message`.
    data: Vec<Any<Value>>,
    /// Continues after these lines, now or once there are more.
    next_cursor: Option<String>,
    has_more: bool,
}

pub(crate) async fn logs(
    gateway: &Gateway,
    principal: &Principal,
    id: JobId,
    limit: Option<u32>,
    cursor: Option<String>,
) -> Result<Reply<200, LogPage>, Problem> {
    let limit = limit.unwrap_or(100);
    if !(1..=1000).contains(&limit) {
        let detail = "a page has 1 to 1000 lines";
        return Err(Problem::parameter("limit", detail));
    }
    let after = cursor.map(|cursor| {
        let bad = "take the cursor from `next_cursor` of the same job";
        cursor.parse::<u64>().map_err(|_| Problem::parameter("cursor", bad))
    });
    let after = after.transpose()?.unwrap_or(0);
    let (tenant, job) = (principal.tenant.as_str(), id.to_string());
    let state = gateway.commands.state::<Job>(tenant, &job).await?;
    if state == <Job as Decider>::State::default() {
        return Err(Problem::not_found("job"));
    }
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    // One more than the limit, to know whether there are more.
    let more = limit.saturating_add(1);
    let mut lines = gateway.job_logs.page(tenant, &job, after.saturating_add(1), more).await?;
    let has_more = lines.len() > limit;
    lines.truncate(limit);
    let next_cursor = lines.last().map_or(after, |line| line.sequence);
    let data = lines
        .iter()
        .map(|line| Any(serde_json::from_slice(&line.payload).unwrap_or_default()))
        .collect();
    let next_cursor = (next_cursor > 0).then(|| next_cursor.to_string());
    Ok(Reply::new(LogPage { data, next_cursor, has_more }))
}
