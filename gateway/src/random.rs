use crate::problem::{Kind, Problem};

/// 32 bytes that nobody can guess.
pub(crate) fn bytes() -> Result<[u8; 32], Problem> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| {
        tracing::error!(%error, "the system has no randomness");
        Problem::new(Kind::Unavailable, "the system has no randomness at the moment")
    })?;
    Ok(bytes)
}
