use ffapi_commands::Commands;
use ffapi_domain::{
    JobId, Tenant, Timestamp,
    job::{EventMetadata, Job, JobEvent, JobView},
};
use ffapi_nats::{CodecError, Decision, Position};

/// A job as it is in the log now, and the position of its newest event.
pub(crate) async fn job_in_log(
    commands: &Commands,
    tenant: &Tenant,
    id: JobId,
) -> Result<Option<(JobView, Position)>, CodecError> {
    let mut found = None;
    let mut position = Position { epoch: commands.log().identity().epoch, ..Position::default() };
    let fold = |sequence, decision: Decision<JobEvent>| {
        let at = Timestamp::from_millis(decision.at);
        let trace_id = decision.trace_id();
        let meta = EventMetadata { id, tenant: tenant.clone(), at, trace_id };
        let events = decision.events.iter();
        found = events.fold(found.take(), |row, event| JobView::apply(row, event, &meta));
        position.sequence = sequence;
        position.index = u32::try_from(decision.events.len().saturating_sub(1)).unwrap_or(u32::MAX);
    };
    commands.visit::<Job>(tenant.as_str(), &id.to_string(), fold).await?;
    Ok(found.map(|job| (job, position)))
}
