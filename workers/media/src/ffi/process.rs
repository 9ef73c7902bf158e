use std::io;

use nix::libc;

/// Closes every descriptor except the three standard ones.
pub(crate) fn close_inherited() -> io::Result<()> {
    // SAFETY: the process is single-threaded and owns no other descriptor yet.
    let outcome = unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, 0_u32) };
    if outcome < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Lowers this process' priority below that of the machine's other processes.
pub(crate) fn lower_priority() {
    // SAFETY: changes this process' own priority; failure is harmless.
    let _ = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 5) };
}

/// True if `fcntl` accepts a command for a file, as a process that was taken over may try.
#[cfg(test)]
pub(crate) fn control(file: &std::fs::File, command: libc::c_int, argument: libc::c_int) -> bool {
    // SAFETY: the descriptor is open, and none of the commands in tests takes a pointer.
    unsafe { libc::fcntl(std::os::fd::AsRawFd::as_raw_fd(file), command, argument) >= 0 }
}

/// The error of the kernel for a thread that would have descriptors of its own. None is started: such
/// flags are incomplete.
#[cfg(test)]
pub(crate) fn error_of_thread_with_own_descriptors() -> io::Error {
    // SAFETY: the kernel rejects `CLONE_THREAD` without `CLONE_SIGHAND`.
    let outcome = unsafe { libc::syscall(libc::SYS_clone, libc::CLONE_THREAD, 0, 0, 0, 0) };
    assert!(outcome < 0, "no thread is started");
    io::Error::last_os_error()
}
