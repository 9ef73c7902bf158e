//! The FFmpeg engine: FFmpeg's libraries, in a sandboxed child of their own.
//!
//! Knows media, nothing of jobs or NATS. The worker spawns a program made of it ahead of time
//! ([`child::main`]); the child locks itself into its slot folder before it reads a byte, serves
//! one [`protocol::Task`] and exits. The engine is a pipeline of threads: demux, decode, filter and
//! encode, mux. libav never sees a URL or a user's path.

mod capability;
pub mod child;
mod cues;
mod decoders;
mod engine;
#[expect(unsafe_code, reason = "the one place that talks to C")]
mod ffi;
mod file;
#[cfg(test)]
mod fuzz;
pub mod hardware;
mod heartbeat;
mod open;
mod orientation;
mod probe;
pub mod protocol;
mod sandbox;
mod verify;
#[cfg(target_arch = "x86_64")]
#[expect(
    unsafe_code,
    reason = "vector instructions of a processor that was asked whether it has them"
)]
mod vif;
#[cfg(not(target_arch = "x86_64"))]
#[path = "no_vif.rs"]
mod vif;

use ffapi_domain::job::FailureCode;

/// Why a media task did not work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct MediaError {
    /// The kind.
    pub code: FailureCode,
    /// A sentence that says what to do.
    pub message: String,
}

impl MediaError {
    pub(crate) fn new(code: FailureCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The input is at fault.
    pub(crate) fn input(message: impl Into<String>) -> Self {
        Self::new(FailureCode::InvalidInput, message)
    }

    /// We are at fault.
    pub(crate) fn internal(what: &str, error: impl std::fmt::Display) -> Self {
        Self::new(FailureCode::Internal, format!("{what}: {error}"))
    }
}
