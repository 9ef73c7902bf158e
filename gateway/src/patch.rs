use poem_openapi::types::MaybeUndefined;

use crate::problem::Problem;

/// What a PATCH says of something that there need not be: unnamed it stays, null takes it away.
#[expect(clippy::option_option, reason = "whether it is named, and whether it is there")]
pub(crate) fn change<T, U>(
    wish: MaybeUndefined<T>,
    read: impl FnOnce(T) -> Result<U, Problem>,
) -> Result<Option<Option<U>>, Problem> {
    match wish {
        MaybeUndefined::Undefined => Ok(None),
        MaybeUndefined::Null => Ok(Some(None)),
        MaybeUndefined::Value(value) => Ok(Some(Some(read(value)?))),
    }
}
