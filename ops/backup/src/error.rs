use ffapi_nats::{CodecError, LogError};
use ffapi_projections::ProjectionError;
use ffapi_storage::StorageError;

/// Why a backup or a restore failed.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The store of the backups failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// NATS failed, or is not in the needed state.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Postgres failed.
    #[error(transparent)]
    Projection(#[from] ProjectionError),
    /// The event that records the restore could not be encoded.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// A private server did not start.
    #[error(transparent)]
    Server(#[from] ffapi_embedded::StartError),
    /// A local file or folder cannot be used.
    #[error("a file cannot be used: {0}")]
    File(#[from] std::io::Error),
    /// An object of the backup is not what was stored.
    #[error("{object} is damaged: {why}")]
    Damaged {
        /// The key of the object.
        object: String,
        /// What is wrong with it.
        why: String,
    },
    /// An object cannot be decrypted with the given identities.
    #[error("{object} cannot be decrypted: none of the identities is one of its recipients")]
    WrongIdentity {
        /// The key of the object.
        object: String,
    },
    /// The request cannot be fulfilled; the text says what would work.
    #[error("{0}")]
    Refused(String),
}

impl BackupError {
    pub(crate) fn damaged(object: &str, why: impl Into<String>) -> Self {
        Self::Damaged { object: object.to_owned(), why: why.into() }
    }

    pub(crate) fn refused(why: impl Into<String>) -> Self {
        Self::Refused(why.into())
    }
}
