use ffapi_nats::LogError;

/// Why it is not known that the copy contains everything.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CredentialsBehind {
    /// The end of the log was not reached in time.
    #[error("this gateway's copy of keys and accounts is not up to date; try again")]
    NotReached,
    /// The end of the log is not known.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Why a secret is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AuthError {
    /// It is not a secret of any key.
    Unknown,
    /// Its key was revoked, or the grace period of the old secret is over.
    Revoked,
    /// Its key has expired.
    Expired,
    /// The key may not be used from this address.
    Address,
    /// The store is stale, so the key may have been revoked meanwhile.
    Stale,
    /// The key is unknown, but its id says that it is newer than the last confirmed state of the
    /// log.
    NotYetKnown,
}

impl AuthError {
    /// Every reason.
    pub(crate) const ALL: [Self; 6] = [
        Self::Unknown,
        Self::Revoked,
        Self::Expired,
        Self::Address,
        Self::Stale,
        Self::NotYetKnown,
    ];
}
