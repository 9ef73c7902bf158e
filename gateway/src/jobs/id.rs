use ffapi_domain::JobId;

use crate::problem::Problem;

/// The id of a job in a path.
///
/// # Errors
/// 404 if it is none: such a job cannot exist.
pub(super) fn job_id(text: &str) -> Result<JobId, Problem> {
    text.parse().map_err(|_| Problem::not_found("job"))
}
