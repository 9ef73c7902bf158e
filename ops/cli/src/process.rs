//! The setup of a process, before anything else.

use nix::sys::{
    prctl,
    resource::{Resource, getrlimit, setrlimit},
    stat::{Mode, umask},
};

/// The exit status of a program that a closed pipe ends.
pub(crate) const CLOSED_PIPE: u8 = 128 + 13;

/// True for the error of writing to a pipe whose reader is gone. Those of connections have other types.
pub(crate) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<std::io::Error>();
    error.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// Ends the process silently when the reader of its output is gone, such as `head`.
pub(crate) fn end_with_reader() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        // `println!` panics with the error's text.
        if info.payload_as_str().is_some_and(|message| message.contains("Broken pipe")) {
            std::process::exit(CLOSED_PIPE.into());
        }
        usual(info);
    }));
}

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
