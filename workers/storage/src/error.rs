/// Why bytes could not be had or kept.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// Nothing stands there.
    #[error("{0} does not exist")]
    NotFound(String),
    /// Other bytes stand there, and they are to stay.
    #[error("{0} exists already; choose another name or set `overwrite` to `replace`")]
    Exists(String),
    /// More bytes came than are allowed.
    #[error("more than {max} bytes were sent")]
    TooLarge {
        /// Bytes.
        max: u64,
    },
    /// The sender broke off.
    #[error("the sender broke off: {0}")]
    BrokenOff(String),
    /// The disk or network below is in trouble.
    #[error("storage cannot be used")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl StorageError {
    pub(crate) fn unavailable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Unavailable(error.into())
    }
}

impl From<std::io::Error> for StorageError {
    fn from(error: std::io::Error) -> Self {
        Self::unavailable(error)
    }
}
