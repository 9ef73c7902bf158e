use ffapi_domain::{
    JobId, Timestamp,
    job::{EventMetadata, Job, JobEvent, JobView},
};
use ffapi_nats::{Decision, Position};

use super::show::JobBody;
use crate::{auth::Principal, problem::Problem, reply::Reply, state::Gateway};

/// A point in a job's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Point {
    /// After this many events.
    Version(u64),
    Time(Timestamp),
    /// After the event at this position, or the last one before it.
    Position(Position),
}

fn point(text: &str) -> Result<Point, Problem> {
    let version = text.strip_prefix('v').and_then(|number| number.parse().ok());
    let time = || text.parse().ok().map(Point::Time);
    let position = || text.parse().ok().map(Point::Position);
    version.map(Point::Version).or_else(time).or_else(position).ok_or_else(|| {
        let detail = "a version like v3, a time like 2026-11-21T12:00:00Z, or an event's position";
        Problem::parameter("at", detail)
    })
}

/// A job as it was at an earlier point, folded from its events up to there.
pub(crate) async fn at(
    gateway: &Gateway,
    principal: &Principal,
    id: JobId,
    text: &str,
) -> Result<Reply<200, JobBody>, Problem> {
    let point = point(text)?;
    let tenant = &principal.tenant;
    let epoch = gateway.commands.log().identity().epoch;
    let (mut row, mut position): (Option<JobView>, _) = (None, Position::default());
    let mut is_past = false;
    let fold = |sequence, decision: Decision<JobEvent>| {
        let at = Timestamp::from_millis(decision.at);
        let trace_id = decision.trace_id();
        let meta = EventMetadata { id, tenant: tenant.clone(), at, trace_id };
        for (index, event) in (0..).zip(&decision.events) {
            let version = row.as_ref().map_or(0, |row| row.summary.version);
            is_past |= match point {
                Point::Version(wanted) => version >= wanted,
                Point::Time(wanted) => at > wanted,
                Point::Position(wanted) => Position { epoch, sequence, index } > wanted,
            };
            if is_past {
                return;
            }
            row = JobView::apply(row.take(), event, &meta);
            position = Position { epoch, sequence, index };
        }
    };
    gateway.commands.visit::<Job>(tenant.as_str(), &id.to_string(), fold).await?;
    let row = row.ok_or_else(|| Problem::not_found("job at this time"))?;
    if let Point::Version(wanted) = point
        && row.summary.version < wanted
    {
        let detail = format!("the job's current version is {}", row.summary.version);
        return Err(Problem::parameter("at", detail));
    }
    Ok(Reply::new(gateway.present(principal).past(&row))
        .version(row.summary.version)
        .position(position))
}
