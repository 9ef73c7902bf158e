//! The media child on real files, judged by ffprobe and ffmpeg, never by our own engine.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod charge;
mod convert;
mod fields;
mod formats;
mod frame_types;
mod hardware;
mod harness;
mod hostile;
mod kinds;
mod operations;
mod players;
mod quality;
mod sound;
mod sources;
mod stream;
mod threads;
