use crate::metrics;

/// Why a storage operation failed.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// There is no object at this location.
    #[error("{0} does not exist")]
    NotFound(String),
    /// The object was replaced while it was being read.
    #[error("{0} was replaced while it was being read")]
    Replaced(String),
    /// Another file exists at this location, and it must not be replaced.
    #[error("{0} exists already; choose another name or set `overwrite` to `replace`")]
    Exists(String),
    /// A file cannot be created at this location: its name is too long, a folder has it, or a file that
    /// of its folder.
    #[error(
        "{0} cannot be written: its name is too long, a folder has it, or a file has the name of its folder"
    )]
    Blocked(String),
    /// The object's name is longer than the names of its store can be.
    #[error("{shown} is too long for its store, which takes {max} bytes of it at most")]
    NameTooLong {
        /// The location.
        shown: String,
        /// The limit of what the location may name, in bytes.
        max: usize,
    },
    /// More bytes were sent than the limit allows.
    #[error("more than {max} bytes were sent")]
    TooLarge {
        /// The limit in bytes.
        max: u64,
    },
    /// The transfer ended early: the sender disconnected, or the operation was cancelled.
    #[error("the transfer was interrupted: {0}")]
    Interrupted(String),
    /// No store of this name may be used by the account.
    #[error("`{name}://` names no store of this account; it can use {available}")]
    NoStore {
        /// The name.
        name: String,
        /// The names of the stores that the account may use, for a message.
        available: String,
    },
    /// The configuration of a store is incomplete or wrong.
    #[error("{0}")]
    Config(String),
    /// The store does not accept the deployment's credentials, or they do not allow this.
    #[error("the store of {0} denies access: its credentials do not allow this")]
    Denied(String),
    /// The underlying disk or network failed.
    #[error("the storage cannot be used at the moment")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl StorageError {
    /// What failed, in one word and without the name of anything: for logs, which outlive an erasure.
    pub const fn reason(&self) -> &'static str {
        metrics::outcome(Some(self))
    }

    /// The error of a store's client, where it does not matter which object it is about.
    pub(crate) fn of_store(error: object_store::Error) -> Self {
        match error {
            object_store::Error::NotFound { path, .. } => Self::NotFound(path),
            object_store::Error::PermissionDenied { path, .. }
            | object_store::Error::Unauthenticated { path, .. } => Self::Denied(path),
            error => Self::unavailable(error),
        }
    }

    /// What was sealed is not in staging: it was removed by hand.
    pub(crate) fn not_staged(shown: &str) -> Self {
        Self::unavailable(format!("the sealed output {shown} is not in staging"))
    }

    pub(crate) fn unavailable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Unavailable(error.into())
    }
}

impl From<std::io::Error> for StorageError {
    fn from(error: std::io::Error) -> Self {
        Self::unavailable(error)
    }
}
