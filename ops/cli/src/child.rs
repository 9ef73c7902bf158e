//! The program that reads media, which stands beside this one.

use std::{fs::File, os::fd::AsRawFd};

use anyhow::Context;
use ffapi_workers::Sandbox;
use nix::unistd::{Uid, geteuid};

const NAME: &str = "ffapi-media-child";

/// What starts it: the file as it is now, opened once. Whatever is installed in its place meanwhile, and
/// whoever may not walk the folders to it, a child that has another user among them.
pub(crate) fn command(sandbox: Sandbox) -> anyhow::Result<Vec<String>> {
    check(sandbox, geteuid())?;
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

/// Without Landlock only a user of its own keeps a child from the files of everybody else.
fn check(sandbox: Sandbox, user: Uid) -> anyhow::Result<()> {
    anyhow::ensure!(
        sandbox == Sandbox::Full || user.is_root(),
        "worker.sandbox = \"seccomp-only\" keeps media processes from other files by giving them another \
         user, which only root can: run the worker as root, or on a kernel with Landlock as `full`"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_landlock_only_root_keeps_children_apart() {
        let (root, other) = (Uid::from_raw(0), Uid::from_raw(1_000));
        assert!(check(Sandbox::Full, other).is_ok());
        assert!(check(Sandbox::SeccompOnly, root).is_ok());
        let error = check(Sandbox::SeccompOnly, other).unwrap_err().to_string();
        assert!(error.contains("as root") && error.contains("Landlock"), "{error}");
    }
}
