//! Tests of the media child on real files, checked by ffprobe and ffmpeg, not by our own engine.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod audio;
mod charge;
mod convert;
mod formats;
mod frame_types;
mod hardware;
mod harness;
mod hostile;
mod interlaced;
mod kinds;
mod lost_parts;
mod operations;
mod players;
mod quality;
mod real_files;
mod real_text;
mod stream;
mod stream_ends;
mod threads;
mod unusual_inputs;
