//! The media child on real files, judged by ffprobe and ffmpeg, never by our own engine.

mod convert;
mod harness;
mod hostile;
