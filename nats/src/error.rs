/// Trouble with the log: breakage, never a refusal of the domain.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Nobody answers, or not in time; the outcome of a write is unknown.
    #[error("the log does not answer")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The server said no to something that should work.
    #[error("the server refused: {description} ({code})")]
    Server {
        /// JetStream's error code.
        code: u64,
        /// Its words.
        description: String,
    },
    /// The server is too old, or set up otherwise than we need.
    #[error("{0}")]
    Misconfigured(String),
    /// What was read is not what was written.
    #[error("a message cannot be read: {0}")]
    Corrupt(String),
}

impl LogError {
    pub(crate) fn unavailable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Unavailable(error.into())
    }
}

/// What became of an append that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Somebody else appended to this subject first.
    #[error("the aggregate moved on")]
    Conflict,
    /// One decision above 4 MB.
    #[error("the decision is {size} bytes; at most {max} fit")]
    TooLarge {
        /// Bytes.
        size: usize,
        /// Bytes.
        max: usize,
    },
    /// Trouble below.
    #[error(transparent)]
    Log(#[from] LogError),
}
