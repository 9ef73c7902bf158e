use poem_openapi::types::MaybeUndefined;

use crate::problem::Problem;

/// The change of an optional field in a PATCH: none if absent, `Some(None)` if null removes it.
#[expect(clippy::option_option, reason = "whether the field is sent, and whether it has a value")]
pub(crate) fn change<T, U>(
    field: MaybeUndefined<T>,
    read: impl FnOnce(T) -> Result<U, Problem>,
) -> Result<Option<Option<U>>, Problem> {
    match field {
        MaybeUndefined::Undefined => Ok(None),
        MaybeUndefined::Null => Ok(Some(None)),
        MaybeUndefined::Value(value) => Ok(Some(Some(read(value)?))),
    }
}
