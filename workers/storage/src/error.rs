/// Why a storage operation failed.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// There is no object at this location.
    #[error("{0} does not exist")]
    NotFound(String),
    /// Another file exists at this location, and it must not be replaced.
    #[error("{0} exists already; choose another name or set `overwrite` to `replace`")]
    Exists(String),
    /// A file cannot be created at this location: its name is too long, a folder has it, or a file that
    /// of its folder.
    #[error(
        "{0} cannot be written: its name is too long, a folder has it, or a file has the name of its folder"
    )]
    Blocked(String),
    /// More bytes were sent than the limit allows.
    #[error("more than {max} bytes were sent")]
    TooLarge {
        /// The limit in bytes.
        max: u64,
    },
    /// The transfer ended early: the sender disconnected, or the operation was cancelled.
    #[error("the transfer was interrupted: {0}")]
    Interrupted(String),
    /// The underlying disk or network failed.
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
