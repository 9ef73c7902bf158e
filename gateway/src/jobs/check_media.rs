use ffapi_domain::media::{Capabilities, MediaRequest};

use crate::problem::{Kind, Problem};

/// Checks the media work itself, as far as that is possible before a byte of the input is read.
///
/// # Errors
/// The first error.
pub(crate) fn check_media(
    request: &MediaRequest,
    capabilities: &Capabilities,
) -> Result<(), Problem> {
    let checked = request.check(capabilities);
    checked.map_err(|error| Problem::field(Kind::Invalid, &error.pointer, error.detail))
}
