//! The size of a job's spec.

use ffapi_domain::{Tenant, job::JobSpec};

use crate::{
    clock,
    problem::{Kind, Problem},
    rate_limits::Spend,
    state::Gateway,
};

/// Maximum size of a spec in bytes, as JSON. It is stored in the log, in the archive and in read
/// models, and kept there after the job has ended.
const MAX_BYTES: usize = 128 * 1024;

/// Returns the size of a spec in bytes.
///
/// # Errors
/// When it is too large.
pub(crate) fn check(spec: &JobSpec) -> Result<usize, Problem> {
    let size = serde_json::to_vec(spec).map_or(usize::MAX, |text| text.len());
    if size <= MAX_BYTES {
        return Ok(size);
    }
    let detail = format!(
        "a job takes up to {MAX_BYTES} bytes, and this one has {size}: shorten its `metadata`, texts, \
         URLs and operations"
    );
    Err(Problem::new(Kind::TooLarge, detail))
}

/// Kibibytes of specs that an account may submit per hour, for each of its hourly requests.
const KIBIBYTES_PER_REQUEST: u64 = 16;

/// Counts submitted specs of this size against the account's hourly limit.
///
/// # Errors
/// When less is left.
pub(crate) async fn spend(gateway: &Gateway, tenant: &Tenant, bytes: usize) -> Result<(), Problem> {
    let requests = gateway.credentials.limits(tenant).requests_per_hour;
    let limit = requests.saturating_mul(KIBIBYTES_PER_REQUEST);
    let count = u64::try_from(bytes.div_ceil(1_024)).unwrap_or(u64::MAX);
    let spend = Spend { bucket: "spec-kibibytes", count, limit };
    let status = gateway.rate_limiter.spend_many(tenant, spend, clock::now()).await?;
    if status.allowed { Ok(()) } else { Err(status.problem()) }
}
