use ffapi_domain::Tenant;

use crate::{clock, problem::Problem, rate_limits::Spend, state::Gateway};

/// Jobs of batches that an account may submit or retry per hour, for each of its hourly requests:
/// every job stays in the log, whatever its outcome.
const JOBS_PER_REQUEST: u64 = 10;

const BUCKET: &str = "batch-jobs";

/// Counts the jobs of a batch against the account's hourly limit.
///
/// # Errors
/// When fewer are left; then none is counted.
pub(super) async fn spend(gateway: &Gateway, tenant: &Tenant, jobs: u32) -> Result<(), Problem> {
    let requests = gateway.credentials.limits(tenant).requests_per_hour;
    let limit = requests.saturating_mul(JOBS_PER_REQUEST);
    let spend = Spend { bucket: BUCKET, count: jobs.into(), limit };
    let status = gateway.rate_limiter.spend_many(tenant, spend, clock::now()).await?;
    if status.allowed { Ok(()) } else { Err(status.problem()) }
}

/// Gives back the jobs of a batch that was rejected after they were counted.
pub(super) async fn refund(gateway: &Gateway, tenant: &Tenant, jobs: u32) {
    gateway.rate_limiter.refund(tenant, BUCKET, jobs.into(), clock::now()).await;
}
