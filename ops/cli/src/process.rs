//! The setup of a server process, before anything else.

use nix::sys::{
    prctl,
    resource::{Resource, getrlimit, setrlimit},
    stat::{Mode, umask},
};

/// Maximum file descriptor limit that is requested.
const MAX_DESCRIPTORS: u64 = 1 << 20;

/// Makes files and memory inaccessible to other processes, and raises the descriptor limit.
pub(crate) fn prepare() {
    // Files that any library creates are accessible to their owner only.
    umask(Mode::S_IRWXG | Mode::S_IRWXO);
    // Other processes of the same user, such as media children of an unprivileged worker, cannot
    // read the memory, environment and descriptors; nor are they written into a core file.
    if let Err(error) = prctl::set_dumpable(false) {
        tracing::warn!(%error, "other processes of this user can inspect this one");
    }
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard.min(MAX_DESCRIPTORS)
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, hard.min(MAX_DESCRIPTORS), hard)
    {
        tracing::warn!(%error, soft, "the file descriptor limit cannot be raised");
    }
}
