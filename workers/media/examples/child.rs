//! The media child alone, for the tests of this crate: serves one task in the current folder.

fn main() -> std::process::ExitCode {
    std::process::ExitCode::from(ffapi_media::child::main(std::env::args().skip(1)))
}
