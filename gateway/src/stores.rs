//! The stores that a request's locations name.

use ffapi_domain::{Personal, Tenant, media::MediaRequest};

use crate::{
    problem::{Kind, Problem},
    state::Gateway,
};

/// Brings every location of a request into the form in which it is recorded, `<store>://path`, and
/// rejects stores that the account cannot use.
pub(crate) fn resolve(
    gateway: &Gateway,
    tenant: &Tenant,
    request: &mut MediaRequest,
) -> Result<(), Problem> {
    let storage = gateway.storage.of(tenant);
    for location in request.locations_mut() {
        if let Personal::Clear(named) = location {
            *named = storage.canonical(named.clone());
        }
    }
    let check = |location: Option<&_>, pointer: &str| {
        let checked = location.map_or(Ok(()), |location| storage.check(location));
        checked.map_err(|error| Problem::field(Kind::Invalid, pointer, error.to_string()))
    };
    for (input, _) in request.inputs() {
        check(input.as_ref(), "#/input")?;
    }
    let output = request.output().and_then(Personal::as_ref);
    check(output, "#/output")?;
    if output.is_some() && request.input().as_ref() == output {
        let detail = "the output would overwrite the input; choose another name";
        return Err(Problem::field(Kind::Invalid, "#/output", detail));
    }
    Ok(())
}
