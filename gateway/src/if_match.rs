use crate::problem::{Kind, Problem};

/// The version that `If-Match` names; none for `*`, which any version matches.
pub(crate) fn version(tag: &str) -> Result<Option<u64>, Problem> {
    let tag = tag.trim();
    if tag == "*" {
        return Ok(None);
    }
    let number = tag.trim_matches('"').strip_prefix('v').and_then(|number| number.parse().ok());
    number.map(Some).ok_or_else(|| {
        Problem::field(Kind::Malformed, "#If-Match", "If-Match is an ETag like \"v3\"")
    })
}
