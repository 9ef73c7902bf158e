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
mod encoders;
mod engine;
mod error;
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
mod packaging;
mod pipeline;
mod probe;
pub mod protocol;
mod quality;
mod sandbox;
mod stated_size;
mod statistics;
mod tasks;
mod text_encoding;
mod timeline;
mod units;
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

pub use error::MediaError;
