use ffapi_nats::{CodecError, LogError};

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
    #[error("message {sequence} cannot be applied: {flaw}")]
    Poison {
        /// Which.
        sequence: u64,
        /// What was seen.
        flaw: Flaw,
    },
}

/// Why a message cannot be applied. It says nothing of what stands in the message, which may be personal:
/// this is kept and logged, and outlives an erasure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// Not what was written, or by a newer version of us.
    #[error("it cannot be read")]
    Unreadable,
    /// It can be read, and makes no sense where it stands.
    #[error("{0}")]
    Senseless(&'static str),
    /// The database cannot hold it.
    #[error("the database cannot hold it ({0})")]
    Refused(String),
    /// It can only be understood after one that is parked.
    #[error("an earlier one of its aggregate is parked")]
    Follows,
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

/// Classes of `SQLSTATE` by which Postgres says that it cannot hold what it was given: cardinality, data,
/// integrity, program limits.
const ABOUT_DATA: [&str; 4] = ["21", "22", "23", "54"];

impl ProjectionError {
    /// A message that cannot be read is poison; a key store that does not answer is not.
    pub(crate) fn from_codec(sequence: u64, error: CodecError) -> Self {
        match error {
            CodecError::Log(error) => Self::Log(error),
            CodecError::Unreadable(_) => Self::Poison { sequence, flaw: Flaw::Unreadable },
        }
    }

    /// What is wrong with what was to be written, if that is what it is: trying again cannot help.
    pub(crate) fn flaw(&self) -> Option<Flaw> {
        match self {
            Self::Poison { flaw, .. } => Some(flaw.clone()),
            Self::Database(sqlx::Error::Database(refusal)) => {
                let code = refusal.code()?;
                let about_data = ABOUT_DATA.iter().any(|class| code.starts_with(class));
                about_data.then(|| Flaw::Refused(code.into_owned()))
            }
            // A row that was written and cannot be read back.
            Self::Database(
                sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::Encode(_),
            ) => Some(Flaw::Refused("what stands there cannot be read".to_owned())),
            _ => None,
        }
    }

    /// True if waiting may help.
    pub const fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Log(_))
    }
}
