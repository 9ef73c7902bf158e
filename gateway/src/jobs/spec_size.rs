//! The size of a job's spec.

use ffapi_domain::job::JobSpec;

use crate::problem::{Kind, Problem};

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
