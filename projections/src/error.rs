use ffapi_nats::{CodecError, LogError};

/// Why a read model could not be queried or updated.
#[derive(Debug, thiserror::Error)]
pub enum ProjectionError {
    /// Postgres does not respond.
    #[error("the database does not answer")]
    Unavailable(#[source] sqlx::Error),
    /// Postgres returned an error.
    #[error("the database refused")]
    Database(#[source] sqlx::Error),
    /// The migrations could not be applied.
    #[error("a migration failed")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The log is not the one from which the rows were built.
    #[error(
        "read model {name} diverged from the log: {why}; restore the log, or rebuild the read model"
    )]
    Diverged {
        /// The read model.
        name: &'static str,
        /// The difference.
        why: String,
    },
    /// Another projector advanced the checkpoint.
    #[error("another projector has taken over")]
    Superseded,
    /// The batch would write too many rows in one transaction.
    #[error("only {messages} messages fit into a transaction")]
    TooLarge {
        /// How many messages from its start fit, at least one.
        messages: usize,
    },
    /// This read model cannot apply a message; it is parked, with all later ones of its aggregate.
    #[error("message {sequence} cannot be applied: {flaw}")]
    Poison {
        /// Stream sequence of the message.
        sequence: u64,
        /// The reason.
        flaw: Flaw,
    },
}

/// Why a message cannot be applied. The text contains nothing of the message, which may be
/// personal: it is stored and logged, and outlives an erasure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// It is corrupt, or was written by a newer version of ffapi.
    #[error("it cannot be read")]
    Unreadable,
    /// It can be decoded, but is not valid at its position.
    #[error("{0}")]
    Invalid(&'static str),
    /// The database rejects a value of it.
    #[error("the database cannot hold it ({0})")]
    Refused(String),
    /// The read model panics on it.
    #[error("the read model panics on it")]
    Panicked,
    /// An earlier message of its aggregate is parked.
    #[error("an earlier one of its aggregate is parked")]
    Follows,
}

impl From<sqlx::Error> for ProjectionError {
    fn from(error: sqlx::Error) -> Self {
        let unavailable = match &error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => true,
            // Also while the password is being changed (28): the next attempt may use the new one.
            sqlx::Error::Database(error) => error.code().is_some_and(|code| {
                code == "53300" || ["08", "57P", "28"].iter().any(|class| code.starts_with(class))
            }),
            _ => false,
        };
        if unavailable { Self::Unavailable(error) } else { Self::Database(error) }
    }
}

/// `SQLSTATE` classes for values that Postgres cannot store: cardinality, data, integrity, program
/// limits.
const DATA_ERROR_CLASSES: [&str; 4] = ["21", "22", "23", "54"];

impl ProjectionError {
    /// A message that cannot be decoded is poison; an unavailable key store is not.
    pub(crate) fn from_codec(sequence: u64, error: CodecError) -> Self {
        match error {
            CodecError::Log(error) => Self::Log(error),
            CodecError::Unreadable(_) => Self::Poison { sequence, flaw: Flaw::Unreadable },
        }
    }

    /// The reason, if the message itself is at fault: then a retry cannot succeed.
    pub(crate) fn flaw(&self) -> Option<Flaw> {
        match self {
            Self::Poison { flaw, .. } => Some(flaw.clone()),
            Self::Database(sqlx::Error::Database(error)) => {
                let code = error.code()?;
                let is_data_error = DATA_ERROR_CLASSES.iter().any(|class| code.starts_with(class));
                is_data_error.then(|| Flaw::Refused(code.into_owned()))
            }
            // A stored row that cannot be read back.
            Self::Database(
                sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::Encode(_),
            ) => Some(Flaw::Refused("what stands there cannot be read".to_owned())),
            _ => None,
        }
    }

    /// True if a later retry may succeed.
    pub const fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Log(_))
    }
}
