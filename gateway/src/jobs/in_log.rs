use ffapi_commands::{CommandOutcome, Commands};
use ffapi_domain::{
    JobId, Tenant, Timestamp,
    job::{EventMetadata, Job, JobEvent, JobView},
};
use ffapi_nats::CodecError;

use crate::{
    log_view::{self, Address, Entry, InLog, LogView},
    problem::Problem,
};

impl LogView for JobView {
    type Aggregate = Job;
    type Id = JobId;

    fn fold(
        view: Option<Self>,
        Entry { decision, .. }: &Entry<'_, JobEvent>,
        of: &Address<'_, JobId>,
    ) -> Option<Self> {
        let meta = EventMetadata {
            id: of.id,
            tenant: of.tenant.clone(),
            at: Timestamp::from_millis(decision.at),
            trace_id: decision.trace_id(),
        };
        decision.events.iter().fold(view, |view, event| Self::apply(view, event, &meta))
    }
}

/// A job as it is in the log now.
pub(crate) async fn job_in_log(
    commands: &Commands,
    tenant: &Tenant,
    id: JobId,
) -> Result<Option<InLog<JobView>>, CodecError> {
    log_view::in_log(commands, Address { tenant, id }).await
}

/// A job as a command left it. `before` is what it was earlier, if that is at hand.
///
/// # Errors
/// 404 without such a job; when the log must be read and cannot be.
pub(crate) async fn job_after(
    commands: &Commands,
    of: Address<'_, JobId>,
    outcome: &CommandOutcome<Job>,
    before: Option<InLog<JobView>>,
) -> Result<InLog<JobView>, Problem> {
    let found = log_view::after(commands, of, outcome, before).await?;
    found.ok_or_else(|| Problem::not_found("job"))
}
