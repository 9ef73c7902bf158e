//! What a process that serves sets up before it does anything else.

use nix::sys::{
    prctl,
    resource::{Resource, getrlimit, setrlimit},
    stat::{Mode, umask},
};

/// More descriptors than that are not asked for.
const DESCRIPTORS: u64 = 1 << 20;

/// Keeps others out of what it makes and holds, and takes the descriptors that it may have.
pub(crate) fn prepare() {
    // Whatever is made, by whatever library, is its owner's alone.
    umask(Mode::S_IRWXG | Mode::S_IRWXO);
    // Another process of the same user, as a media child is where we are not root, cannot look into our
    // memory, environment and descriptors; nor is any of it written into a core file.
    if let Err(error) = prctl::set_dumpable(false) {
        tracing::warn!(%error, "other processes of this user can look into this one");
    }
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard.min(DESCRIPTORS)
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, hard.min(DESCRIPTORS), hard)
    {
        tracing::warn!(%error, soft, "no more descriptors can be had");
    }
}
