//! The values of attributes: small, fixed sets.

use crate::{AppendError, LogError};

/// A request to NATS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Stores a message, or sends one to current subscribers.
    Publish,
    /// Receives messages in order.
    Fetch,
    /// Reads messages by subject or sequence.
    Get,
    /// Asks for the state of a stream.
    Info,
    /// Asks another process.
    Request,
    /// Deletes a task from the queue.
    Ack,
    /// Returns a task to the queue.
    Nak,
    /// Renews the lease of a task.
    Progress,
}

impl Operation {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Fetch => "fetch",
            Self::Get => "get",
            Self::Info => "info",
            Self::Request => "request",
            Self::Ack => "ack",
            Self::Nak => "nak",
            Self::Progress => "progress",
        }
    }

    pub(super) const fn kind(self) -> &'static str {
        match self {
            Self::Publish | Self::Request => "send",
            Self::Fetch | Self::Get | Self::Info => "receive",
            Self::Ack | Self::Nak | Self::Progress => "settle",
        }
    }
}

pub(super) const fn error_type(error: &LogError) -> &'static str {
    match error {
        LogError::Unavailable(_) => "unavailable",
        LogError::Server { .. } => "refused",
        LogError::Misconfigured(_) => "misconfigured",
        LogError::Corrupt(_) => "corrupt",
    }
}

/// The outcome of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AppendOutcome {
    Appended,
    Conflict,
    TooLarge,
    /// The log did not answer; the outcome is unknown.
    Unavailable,
}

impl AppendOutcome {
    pub(crate) const fn of(outcome: &Result<u64, AppendError>) -> Self {
        match outcome {
            Ok(_) => Self::Appended,
            Err(AppendError::Conflict) => Self::Conflict,
            Err(AppendError::TooLarge { .. }) => Self::TooLarge,
            Err(AppendError::Log(_)) => Self::Unavailable,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Appended => "appended",
            Self::Conflict => "conflict",
            Self::TooLarge => "too_large",
            Self::Unavailable => "unavailable",
        }
    }
}

/// The kind of a subject on which another process is asked.
pub(crate) fn peers(subject: &str) -> &'static str {
    const KNOWN: [&str; 5] = ["rpc.plan", "rpc.look", "rpc.queue", "rpc.cleanup", "ctl.attempt"];
    KNOWN.into_iter().find(|known| subject.starts_with(known)).unwrap_or("other")
}
