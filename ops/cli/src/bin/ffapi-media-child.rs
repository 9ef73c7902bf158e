//! What reads media: started by a worker for one task, locked in before it reads a byte. A program of
//! its own, for it alone is linked with FFmpeg.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Its name, and `media-child`, by which a process list tells it.
    ExitCode::from(ffapi_media::child::main(std::env::args().skip(2)))
}
