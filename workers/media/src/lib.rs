//! The FFmpeg engine: FFmpeg's libraries, in a sandboxed child of their own.
//!
//! Depends on neither jobs nor NATS. The worker spawns a child process of it ahead of time
//! ([`child::main`]); the child confines itself to its slot folder before it reads a byte, serves
//! one [`protocol::Task`] and exits. The engine is a pipeline of threads: demux, decode, filter and
//! encode, mux. libav never sees a URL or a user's path.

mod capability;
mod channel_layout;
pub mod child;
mod cues;
mod decoders;
mod engine;
#[expect(unsafe_code, reason = "the only module that calls C")]
mod ffi;
mod file;
mod fonts;
#[cfg(test)]
mod fuzz;
pub mod hardware;
mod heartbeat;
mod open;
mod orientation;
mod probe;
pub mod protocol;
mod sandbox;
mod stated_size;
mod text_encoding;
mod timeline;
mod verify;
#[cfg(target_arch = "x86_64")]
#[expect(
    unsafe_code,
    reason = "vector instructions, used only after the processor's features were detected"
)]
mod vif;
#[cfg(not(target_arch = "x86_64"))]
#[path = "no_vif.rs"]
mod vif;
mod whole_end;

use ffapi_domain::job::FailureCode;

/// Why a media task failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct MediaError {
    /// The category of the failure.
    pub code: FailureCode,
    /// A sentence for the client, which says what to do about it.
    pub message: String,
}

/// How the message of `MediaError::nothing_left` starts.
const NOTHING_LEFT: &str = "nothing is left";

impl MediaError {
    pub(crate) fn new(code: FailureCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The input is invalid.
    pub(crate) fn input(message: impl Into<String>) -> Self {
        Self::new(FailureCode::InvalidInput, message)
    }

    /// The output would have no packets of a stream; `kind` is "video" or "audio".
    pub(crate) fn nothing_left(kind: &str) -> Self {
        Self::input(format!(
            "{NOTHING_LEFT} of the input's {kind}: it ends before the part that is kept"
        ))
    }

    /// True for [`Self::nothing_left`]: the reason may be another error.
    pub(crate) fn is_nothing_left(&self) -> bool {
        self.message.starts_with(NOTHING_LEFT)
    }

    /// A fault of the engine or the machine, in the step that `what` names.
    pub(crate) fn internal(what: &str, error: impl std::fmt::Display) -> Self {
        Self::new(FailureCode::Internal, format!("{what}: {error}"))
    }
}
