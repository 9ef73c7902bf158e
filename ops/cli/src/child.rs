//! The media child: the program that reads media, installed next to this one.

use std::{fs::File, os::fd::AsRawFd};

use anyhow::Context;
use ffapi_workers::Sandbox;
use nix::unistd::{Uid, geteuid};

const NAME: &str = "ffapi-media-child";

/// The command line that starts it, by a descriptor of the file as it is now. So children stay the
/// same program during an upgrade, and a child's user needs no access to the folders above it.
pub(crate) fn command(sandbox: Sandbox) -> anyhow::Result<Vec<String>> {
    check(sandbox, geteuid())?;
    let ours = std::env::current_exe()?;
    let path = ours.with_file_name(NAME);
    let missing =
        || format!("{} does not exist; it must be installed next to `ffapi`", path.display());
    let file = File::open(&path).with_context(missing)?;
    let mut command = vec![format!("/proc/self/fd/{}", file.as_raw_fd()), "media-child".to_owned()];
    if sandbox == Sandbox::SeccompOnly {
        command.push("seccomp-only".to_owned());
    }
    // The descriptor stays open for the lifetime of the process.
    std::mem::forget(file);
    Ok(command)
}

/// Without Landlock, only a separate user isolates a child from other files.
fn check(sandbox: Sandbox, user: Uid) -> anyhow::Result<()> {
    anyhow::ensure!(
        sandbox == Sandbox::Full || user.is_root(),
        "worker.sandbox = \"seccomp-only\" isolates media processes by running them as another user, \
         which requires root: run the worker as root, or use `full` on a kernel with Landlock"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_landlock_isolation_of_children_requires_root() {
        let (root, other) = (Uid::from_raw(0), Uid::from_raw(1_000));
        assert!(check(Sandbox::Full, other).is_ok());
        assert!(check(Sandbox::SeccompOnly, root).is_ok());
        let error = check(Sandbox::SeccompOnly, other).unwrap_err().to_string();
        assert!(error.contains("as root") && error.contains("Landlock"), "{error}");
    }
}
