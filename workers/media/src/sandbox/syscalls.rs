//! The system calls of a child: what decoding, encoding and writing files needs, and nothing else.

use std::collections::BTreeMap;

use nix::libc;
use seccompiler::{
    BpfProgram, Error, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule,
};

/// The filters, in the order in which they are to be applied. `cards` if a driver speaks to its card.
pub(super) fn filters(cards: bool) -> Result<[BpfProgram; 2], Error> {
    Ok([no_clone3()?, allowed(cards)?])
}

/// What is allowed whatever its arguments are.
const CALLS: &[i64] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_lseek,
    libc::SYS_openat,
    libc::SYS_open,
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_access,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_unlink,
    libc::SYS_unlinkat,
    libc::SYS_rename,
    libc::SYS_renameat,
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
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_restart_syscall,
    libc::SYS_get_mempolicy,
    // Inputs come beside the task.
    libc::SYS_recvmsg,
    // The other filter answers it; what this one refused would come first.
    libc::SYS_clone3,
];

/// How a driver speaks to its card; Landlock says which files can be spoken to.
const CARDS: &[i64] = &[libc::SYS_dup, libc::SYS_readlink, libc::SYS_readlinkat];

/// Commands of `fcntl` that concern the descriptor alone: none that has the kernel send signals.
const DESCRIPTOR: [i32; 5] =
    [libc::F_DUPFD, libc::F_DUPFD_CLOEXEC, libc::F_GETFD, libc::F_SETFD, libc::F_GETFL];

/// The name of a thread or of its memory: none that lets it outlive its worker.
const NAMING: [i32; 3] = [libc::PR_SET_NAME, libc::PR_GET_NAME, libc::PR_SET_VMA];

/// Requests of `ioctl` that have the kernel send signals: FIOASYNC, FIOSETOWN, SIOCSPGRP.
const SIGNALLING: [u64; 3] = [libc::FIOASYNC, 0x8901, 0x8902];

type Rules = Vec<SeccompRule>;

/// An argument of 32 bits, as the kernel reads it: what stands above them it does not see either.
fn is(argument: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompCondition, Error> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value).map_err(Error::from)
}

fn bits(value: i32) -> u64 {
    u64::from(value.cast_unsigned())
}

/// Any of these values, and nothing else.
fn any_of(argument: u8, values: &[i32]) -> Result<Rules, Error> {
    let rule =
        |value: &i32| Ok(SeccompRule::new(vec![is(argument, SeccompCmpOp::Eq, bits(*value))?])?);
    values.iter().map(rule).collect()
}

fn allowed(cards: bool) -> Result<BpfProgram, Error> {
    let mut rules: BTreeMap<i64, Rules> = CALLS.iter().map(|call| (*call, vec![])).collect();
    if cards {
        rules.extend(CARDS.iter().map(|call| (*call, vec![])));
        // But for the requests by which any descriptor would send signals.
        let spoken = SIGNALLING.iter().map(|request| request & 0xffff_ffff);
        let spoken = spoken.map(|request| is(1, SeccompCmpOp::Ne, request));
        let spoken = SeccompRule::new(spoken.collect::<Result<_, _>>()?)?;
        rules.insert(libc::SYS_ioctl, vec![spoken]);
    }
    let mut descriptor = any_of(1, &DESCRIPTOR)?;
    descriptor.push(SeccompRule::new(vec![
        is(1, SeccompCmpOp::Eq, bits(libc::F_SETFL))?,
        is(2, SeccompCmpOp::MaskedEq(bits(libc::O_ASYNC)), 0)?,
    ])?);
    rules.insert(libc::SYS_fcntl, descriptor);
    rules.insert(libc::SYS_prctl, any_of(0, &NAMING)?);
    // Signals to itself, limits and processors of its own, threads and no processes.
    let own = std::process::id().cast_signed();
    rules.insert(libc::SYS_tgkill, any_of(0, &[own])?);
    rules.insert(libc::SYS_prlimit64, any_of(0, &[0])?);
    rules.insert(libc::SYS_sched_setaffinity, any_of(0, &[0])?);
    let thread = bits(libc::CLONE_THREAD);
    let threads = is(0, SeccompCmpOp::MaskedEq(thread), thread)?;
    rules.insert(libc::SYS_clone, vec![SeccompRule::new(vec![threads])?]);
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Errno(libc::EPERM.cast_unsigned()),
        SeccompAction::Allow,
        std::env::consts::ARCH.try_into()?,
    )?;
    Ok(filter.try_into()?)
}

/// `clone3` hides its flags behind a pointer that no filter can follow. Said to be missing, it makes
/// the C library fall back to `clone`, whose flags are checked.
fn no_clone3() -> Result<BpfProgram, Error> {
    let filter = SeccompFilter::new(
        BTreeMap::from([(libc::SYS_clone3, vec![])]),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::ENOSYS.cast_unsigned()),
        std::env::consts::ARCH.try_into()?,
    )?;
    Ok(filter.try_into()?)
}
