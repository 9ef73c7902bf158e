use ffapi_domain::{
    Timestamp,
    job::{JobStatus, JobSummary},
    retention::RetentionPeriods,
};

/// When the outputs of a completed job will be deleted; none if they are kept permanently, or are deleted
/// already.
pub(crate) fn expiry(job: &JobSummary, retention: RetentionPeriods) -> Option<Timestamp> {
    if job.status != JobStatus::Completed || job.outputs_expired_at.is_some() {
        return None;
    }
    let usual = || Some(job.completed_at?.plus(retention.outputs?));
    if job.keep.is_some() { job.keep_until } else { usual() }
}
