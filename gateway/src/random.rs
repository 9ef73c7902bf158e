/// The system's secure random number generator failed.
#[derive(Debug, thiserror::Error)]
#[error("no random numbers are available at the moment")]
pub(crate) struct RandomError(#[from] getrandom::Error);

/// 32 bytes from the system's secure random number generator.
pub(crate) fn bytes() -> Result<[u8; 32], RandomError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// A number from the same generator.
pub(crate) fn number() -> Result<u64, RandomError> {
    let bytes = bytes()?;
    let (first, _) = bytes.split_first_chunk::<8>().unwrap_or((&[0; 8], &[]));
    Ok(u64::from_le_bytes(*first))
}
