//! The program that reads media, which stands beside this one.

use std::{fs::File, os::fd::AsRawFd};

use anyhow::Context;
use workers::Sandbox;

const NAME: &str = "ffapi-media-child";

/// What starts it: the file as it is now, opened once. Whatever is installed in its place meanwhile, and
/// whoever may not walk the folders to it, a child that has another user among them.
pub(crate) fn command(sandbox: Sandbox) -> anyhow::Result<Vec<String>> {
    let ours = std::env::current_exe()?;
    let path = ours.with_file_name(NAME);
    let missing = || format!("{} is not there; it is installed beside `ffapi`", path.display());
    let file = File::open(&path).with_context(missing)?;
    let mut command = vec![format!("/proc/self/fd/{}", file.as_raw_fd()), "media-child".to_owned()];
    if sandbox == Sandbox::SeccompOnly {
        command.push("seccomp-only".to_owned());
    }
    // Open for as long as we live.
    std::mem::forget(file);
    Ok(command)
}
