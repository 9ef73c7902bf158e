use crate::problem::{Kind, Problem};

/// 32 bytes from the system's secure random number generator.
pub(crate) fn bytes() -> Result<[u8; 32], Problem> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| {
        tracing::error!(%error, "the system's random number generator failed");
        Problem::new(Kind::Unavailable, "no random numbers are available at the moment")
    })?;
    Ok(bytes)
}

/// A number from the same generator.
pub(crate) fn number() -> Result<u64, Problem> {
    let bytes = bytes()?;
    let (first, _) = bytes.split_first_chunk::<8>().unwrap_or((&[0; 8], &[]));
    Ok(u64::from_le_bytes(*first))
}
