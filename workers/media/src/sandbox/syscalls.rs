//! The system calls of a child: those that decoding, encoding and writing files need.

use std::collections::BTreeMap;

use nix::libc;
use seccompiler::{
    BpfProgram, Error, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule,
};

/// The seccomp filters, in the order to apply them. `hardware` also allows what a driver calls.
pub(super) fn filters(hardware: bool) -> Result<[BpfProgram; 2], Error> {
    Ok([no_clone3()?, allowed(hardware)?])
}

/// System calls that are allowed with any arguments.
const ALLOWED_CALLS: &[i64] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_lseek,
    libc::SYS_openat,
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_unlinkat,
    libc::SYS_renameat2,
    libc::SYS_getdents64,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_gettimeofday,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_getrandom,
    libc::SYS_sysinfo,
    libc::SYS_uname,
    libc::SYS_getrusage,
    libc::SYS_ppoll,
    libc::SYS_restart_syscall,
    libc::SYS_get_mempolicy,
    // Receives the input descriptors with the task.
    libc::SYS_recvmsg,
    // The other filter answers it with ENOSYS; an EPERM from this filter would take precedence.
    libc::SYS_clone3,
];

/// Calls of older interfaces that only this architecture has, besides those above.
#[cfg(target_arch = "x86_64")]
const OLDER_CALLS: &[i64] = &[
    libc::SYS_open,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_unlink,
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_poll,
];

/// The C library's `rename` is `renameat` there, which the bindings lack.
#[cfg(target_arch = "aarch64")]
const OLDER_CALLS: &[i64] = &[38];

/// Further calls of a driver that uses its card; Landlock limits the device files.
const DRIVER_CALLS: &[i64] = &[
    libc::SYS_dup,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_readlink,
    libc::SYS_readlinkat,
];

/// Commands of `fcntl` that concern the descriptor alone: none that makes the kernel send signals.
const FCNTL_COMMANDS: [i32; 5] =
    [libc::F_DUPFD, libc::F_DUPFD_CLOEXEC, libc::F_GETFD, libc::F_SETFD, libc::F_GETFL];

/// Options of `prctl` that name a thread or memory: none that would let it outlive its worker.
const PRCTL_OPTIONS: [i32; 3] = [libc::PR_SET_NAME, libc::PR_GET_NAME, libc::PR_SET_VMA];

/// Requests of `ioctl` that make the kernel send signals: FIOASYNC, FIOSETOWN, SIOCSPGRP.
const SIGNAL_REQUESTS: [u64; 3] = [libc::FIOASYNC, 0x8901, 0x8902];

type Rules = Vec<SeccompRule>;

/// A condition on the lower 32 bits of an argument, which are all that the kernel reads of it.
fn argument_is(
    argument: u8,
    operator: SeccompCmpOp,
    value: u64,
) -> Result<SeccompCondition, Error> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value).map_err(Error::from)
}

fn bits(value: i32) -> u64 {
    u64::from(value.cast_unsigned())
}

/// Rules that allow exactly these values of an argument.
fn any_of(argument: u8, values: &[i32]) -> Result<Rules, Error> {
    let rule = |value: &i32| {
        Ok(SeccompRule::new(vec![argument_is(argument, SeccompCmpOp::Eq, bits(*value))?])?)
    };
    values.iter().map(rule).collect()
}

/// The main filter: everything but the calls listed here fails with EPERM.
fn allowed(hardware: bool) -> Result<BpfProgram, Error> {
    let mut rules: BTreeMap<i64, Rules> =
        ALLOWED_CALLS.iter().chain(OLDER_CALLS).map(|call| (*call, vec![])).collect();
    if hardware {
        rules.extend(DRIVER_CALLS.iter().map(|call| (*call, vec![])));
        // Every request except those by which any descriptor would send signals.
        let requests = SIGNAL_REQUESTS.iter().map(|request| request & 0xffff_ffff);
        let conditions = requests.map(|request| argument_is(1, SeccompCmpOp::Ne, request));
        let rule = SeccompRule::new(conditions.collect::<Result<_, _>>()?)?;
        rules.insert(libc::SYS_ioctl, vec![rule]);
    }
    let mut fcntl = any_of(1, &FCNTL_COMMANDS)?;
    fcntl.push(SeccompRule::new(vec![
        argument_is(1, SeccompCmpOp::Eq, bits(libc::F_SETFL))?,
        argument_is(2, SeccompCmpOp::MaskedEq(bits(libc::O_ASYNC)), 0)?,
    ])?);
    rules.insert(libc::SYS_fcntl, fcntl);
    rules.insert(libc::SYS_prctl, any_of(0, &PRCTL_OPTIONS)?);
    // Signals to itself, its own limits and CPU affinity, and new threads but no new processes.
    let own = std::process::id().cast_signed();
    rules.insert(libc::SYS_tgkill, any_of(0, &[own])?);
    rules.insert(libc::SYS_prlimit64, any_of(0, &[0])?);
    rules.insert(libc::SYS_sched_setaffinity, any_of(0, &[0])?);
    // Threads share the descriptors, so that the worker finds every open file of the process.
    let thread = bits(libc::CLONE_THREAD | libc::CLONE_FILES);
    let threads = argument_is(0, SeccompCmpOp::MaskedEq(thread), thread)?;
    rules.insert(libc::SYS_clone, vec![SeccompRule::new(vec![threads])?]);
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Errno(libc::EPERM.cast_unsigned()),
        SeccompAction::Allow,
        std::env::consts::ARCH.try_into()?,
    )?;
    Ok(filter.try_into()?)
}

/// `clone3` passes its flags behind a pointer that no filter can follow. ENOSYS makes the C library
/// fall back to `clone`, whose flags are checked.
fn no_clone3() -> Result<BpfProgram, Error> {
    let filter = SeccompFilter::new(
        BTreeMap::from([(libc::SYS_clone3, vec![])]),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::ENOSYS.cast_unsigned()),
        std::env::consts::ARCH.try_into()?,
    )?;
    Ok(filter.try_into()?)
}
