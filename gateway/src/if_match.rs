use crate::problem::{Kind, Problem};

/// Parses the version in `If-Match`; none for `*`, which matches any version.
pub(crate) fn version(tag: &str) -> Result<Option<u64>, Problem> {
    let tag = tag.trim();
    if tag == "*" {
        return Ok(None);
    }
    let number = tag.trim_matches('"').strip_prefix('v').and_then(|number| number.parse().ok());
    number.map(Some).ok_or_else(|| {
        Problem::header(Kind::Malformed, "If-Match", "If-Match must be an ETag like \"v3\"")
    })
}
