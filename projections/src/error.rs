use nats::{CodecError, LogError};

/// Why a read model could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ProjectionError {
    /// Postgres does not answer.
    #[error("the database does not answer")]
    Unavailable(#[source] sqlx::Error),
    /// Postgres answered, and something is wrong.
    #[error("the database refused")]
    Database(#[source] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("a migration failed")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// The log is in trouble.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The log is not the one that the rows came from.
    #[error(
        "read model {name} diverged from the log: {why}; restore the log, or rebuild the read model"
    )]
    Diverged {
        /// Which.
        name: &'static str,
        /// What was seen.
        why: String,
    },
    /// Another projector moved the checkpoint.
    #[error("another projector is at work")]
    Deposed,
    /// A message that this read model cannot take; it is parked, with all later ones of its
    /// aggregate.
    #[error("message {sequence} cannot be applied: {why}")]
    Poison {
        /// Which.
        sequence: u64,
        /// What was seen.
        why: String,
    },
}

impl From<sqlx::Error> for ProjectionError {
    fn from(error: sqlx::Error) -> Self {
        let away = match &error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => true,
            // Also while its password is being changed (28): what is shown it next may be the new one.
            sqlx::Error::Database(refusal) => refusal.code().is_some_and(|code| {
                code == "53300" || ["08", "57P", "28"].iter().any(|class| code.starts_with(class))
            }),
            _ => false,
        };
        if away { Self::Unavailable(error) } else { Self::Database(error) }
    }
}

impl ProjectionError {
    /// A message that cannot be read is poison; a key store that does not answer is not.
    pub(crate) fn from_codec(sequence: u64, error: CodecError) -> Self {
        match error {
            CodecError::Log(error) => Self::Log(error),
            CodecError::Unreadable(why) => Self::Poison { sequence, why },
        }
    }

    /// True if the database cannot hold what it was given: trying again cannot help.
    pub(crate) fn is_about_data(&self) -> bool {
        let Self::Database(sqlx::Error::Database(refusal)) = self else { return false };
        refusal.code().is_some_and(|code| code.starts_with("22"))
    }

    /// True if waiting may help.
    pub const fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Log(_))
    }
}
