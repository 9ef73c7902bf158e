//! The media child: started by a worker for one task, and sandboxed before it reads a byte of
//! media. It is a separate program because it alone is linked with FFmpeg.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Skips the program name and `media-child`, which identifies it in process lists.
    ExitCode::from(ffapi_media::child::main(std::env::args().skip(2)))
}
