//! The values of attributes: small, fixed sets.

use crate::auth::AuthError;

/// A limit that rejects requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    /// Requests of an account per hour.
    Requests,
    /// Reads of single jobs and batches of an account per hour.
    Polls,
    /// Downloads of an account per hour.
    Downloads,
    /// Requests to an account by URLs with a token, per hour.
    ByUrl,
    /// Requests of an account to one endpoint per hour.
    Endpoint,
    /// Requests without valid credentials from an address.
    Anonymous,
    /// Media minutes of an account or key in a month.
    MediaMinutes,
    /// Waiting and running jobs of an account.
    QueueSlots,
    /// Stored bytes of an account.
    Storage,
}

impl Limit {
    pub(super) const ALL: [Self; 9] = [
        Self::Requests,
        Self::Polls,
        Self::Downloads,
        Self::ByUrl,
        Self::Endpoint,
        Self::Anonymous,
        Self::MediaMinutes,
        Self::QueueSlots,
        Self::Storage,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Polls => "polls",
            Self::ByUrl => "by_url",
            Self::Downloads => "downloads",
            Self::Endpoint => "endpoint",
            Self::Anonymous => "anonymous",
            Self::MediaMinutes => "media_minutes",
            Self::QueueSlots => "queue_slots",
            Self::Storage => "storage",
        }
    }
}

/// A limit of open connections.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ConnectionLimit {
    /// Of one address.
    Address,
    /// Of the process.
    Total,
}

impl ConnectionLimit {
    pub(super) const ALL: [Self; 2] = [Self::Address, Self::Total];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Total => "total",
        }
    }
}

/// How an upload ended.
#[derive(Debug, Clone, Copy)]
pub(crate) enum UploadOutcome {
    Accepted,
    /// An earlier request had stored it.
    Replayed,
    /// The client can do something about it: the file, or a limit.
    Rejected,
    /// The service could not store it.
    Failed,
}

impl UploadOutcome {
    pub(super) const ALL: [Self; 4] =
        [Self::Accepted, Self::Replayed, Self::Rejected, Self::Failed];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Replayed => "replayed",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
        }
    }
}

/// Why credentials were rejected.
pub(super) const fn reason(error: AuthError) -> &'static str {
    match error {
        AuthError::Unknown => "unknown",
        AuthError::Revoked => "revoked",
        AuthError::Expired => "expired",
        AuthError::Address => "address",
        AuthError::Stale => "stale",
        AuthError::NotYetKnown => "not_yet_known",
    }
}

/// How waiting for the end of the log ended.
#[derive(Debug, Clone, Copy)]
pub(crate) enum WaitOutcome {
    Received,
    /// The read was answered all the same.
    TimedOut,
}

impl WaitOutcome {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::TimedOut => "timed_out",
        }
    }
}
