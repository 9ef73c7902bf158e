/// A failure of the log or the connection to it; never a rejection by the domain.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The server did not respond in time; the outcome of a write is unknown.
    #[error("the log does not answer")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The server rejected a request that should succeed.
    #[error("the server refused: {description} ({code})")]
    Server {
        /// JetStream's error code.
        code: u64,
        /// JetStream's error message.
        description: String,
    },
    /// The server is too old, or its configuration is not the required one.
    #[error("{0}")]
    Misconfigured(String),
    /// A stored message has an unexpected format.
    #[error("a message cannot be read: {0}")]
    Corrupt(String),
}

/// JetStream's codes for a subject whose last sequence is not the expected one, or that another
/// write changes at this moment.
const WRONG_SEQUENCE_CODES: [u64; 2] = [10_071, 10_164];

impl LogError {
    /// True if the subject has a newer message than the write expected.
    pub(crate) const fn is_wrong_sequence(&self) -> bool {
        let [stored, concurrent] = WRONG_SEQUENCE_CODES;
        matches!(self, Self::Server { code, .. } if *code == stored || *code == concurrent)
    }

    pub(crate) fn unavailable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Unavailable(error.into())
    }
}

/// Why an append did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The subject has a newer message than expected: a concurrent append was first.
    #[error("the aggregate moved on")]
    Conflict,
    /// The decision is larger than 4 MiB.
    #[error("the decision is {size} bytes; at most {max} fit")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The maximum in bytes.
        max: usize,
    },
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogError),
}
