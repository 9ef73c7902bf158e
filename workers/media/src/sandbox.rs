use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, LandlockStatus, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreatedAttr,
};
use nix::{
    libc,
    sys::resource::{Resource, setrlimit},
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

use crate::{MediaError, child::Settings};

/// What a child may use up.
const MAX_MEMORY: u64 = 12 * 1024 * 1024 * 1024;
const MAX_FILE: u64 = 64 * 1024 * 1024 * 1024;
const MAX_OPEN_FILES: u64 = 64;

/// Locks this process, still single-threaded, into its slot: `in/` to read, `out/` to write, no
/// sockets, no programs. Answers how well that worked.
pub(crate) fn enter(slot: &Path, settings: &Settings) -> Result<String, MediaError> {
    let broken = |what: &str| {
        let what = format!("the sandbox could not be set up: {what}");
        move |error: &dyn std::fmt::Display| MediaError::internal(&what, error)
    };
    for (resource, limit) in [
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_AS, MAX_MEMORY),
        (Resource::RLIMIT_FSIZE, MAX_FILE),
        (Resource::RLIMIT_NOFILE, MAX_OPEN_FILES),
    ] {
        setrlimit(resource, limit, limit).map_err(|error| broken("limits")(&error))?;
    }
    let landlock =
        if settings.seccomp_only { None } else { Some(landlock(slot, &settings.devices)?) };
    let filter =
        seccomp(!settings.devices.is_empty()).map_err(|error| broken("seccomp")(&error))?;
    let no_clone3 = no_clone3().map_err(|error| broken("seccomp")(&error))?;
    for filter in [&no_clone3, &filter] {
        seccompiler::apply_filter_all_threads(filter).map_err(|e| broken("seccomp")(&e))?;
    }
    Ok(landlock
        .map_or_else(|| "seccomp only".to_owned(), |abi| format!("landlock {abi:?} and seccomp")))
}

/// ABI 2 is the least that keeps files inside the folder (renames and links included).
fn landlock(slot: &Path, devices: &[PathBuf]) -> Result<ABI, MediaError> {
    let broken = |error: &dyn std::fmt::Display| {
        MediaError::internal("the sandbox could not be set up: landlock", error)
    };
    let abi = ABI::V5;
    let input = PathFd::new(slot.join("in")).map_err(|error| broken(&error))?;
    let output = PathFd::new(slot.join("out")).map_err(|error| broken(&error))?;
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    // What letters are drawn with: on every machine the same, and nobody's secret.
    let fonts =
        ["/etc/fonts", "/usr/share/fonts", "/usr/share/fontconfig", "/var/cache/fontconfig"];
    let fonts = fonts.iter().filter_map(|path| PathFd::new(path).ok());
    let fonts = fonts.map(|path| Ok::<_, landlock::RulesetError>(PathBeneath::new(path, read)));
    // A driver is a library that reads about its card; nothing of that is anybody's secret either.
    let drivers = std::env::var("LIBVA_DRIVERS_PATH").unwrap_or_default();
    let about = ["/usr/lib", "/usr/share/drirc.d", "/sys/dev", "/sys/devices", "/proc/driver"];
    let about = about.into_iter().chain([drivers.as_str()]).filter(|_| !devices.is_empty());
    let about = about.filter_map(|path| PathFd::new(path).ok());
    let about = about.map(|path| Ok::<_, landlock::RulesetError>(PathBeneath::new(path, read)));
    let open = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev;
    let cards = devices.iter().filter_map(|path| PathFd::new(path).ok());
    let cards = cards.map(|path| Ok::<_, landlock::RulesetError>(PathBeneath::new(path, open)));
    let all = AccessFs::from_all(abi) & !AccessFs::Execute;
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))
        .and_then(Ruleset::create)
        .and_then(|ruleset| ruleset.add_rule(PathBeneath::new(input, read)))
        .and_then(|ruleset| ruleset.add_rule(PathBeneath::new(output, all)))
        .and_then(|ruleset| ruleset.add_rules(fonts))
        .and_then(|ruleset| ruleset.add_rules(about))
        .and_then(|ruleset| ruleset.add_rules(cards))
        .and_then(landlock::RulesetCreated::restrict_self)
        .map_err(|error| broken(&error))?;
    match status.landlock {
        LandlockStatus::Available { effective_abi, .. } if effective_abi >= ABI::V2 => {
            Ok(effective_abi)
        }
        LandlockStatus::Available { .. }
        | LandlockStatus::NotEnabled
        | LandlockStatus::NotImplemented => Err(MediaError::internal(
            "this kernel has no Landlock ABI 2; set worker.sandbox = \"seccomp-only\" to go on",
            "refused",
        )),
    }
}

/// What decoding, encoding and writing files needs, and nothing else.
fn seccomp(cards: bool) -> Result<BpfProgram, seccompiler::Error> {
    let allowed = [
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
        libc::SYS_fcntl,
        libc::SYS_ftruncate,
        libc::SYS_fallocate,
        libc::SYS_fsync,
        libc::SYS_fdatasync,
        libc::SYS_unlink,
        libc::SYS_unlinkat,
        libc::SYS_rename,
        libc::SYS_renameat,
        libc::SYS_renameat2,
        libc::SYS_mkdir,
        libc::SYS_mkdirat,
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
        libc::SYS_clone,
        libc::SYS_clone3,
        libc::SYS_set_robust_list,
        libc::SYS_rseq,
        libc::SYS_gettid,
        libc::SYS_getpid,
        libc::SYS_sched_yield,
        libc::SYS_sched_getaffinity,
        libc::SYS_sched_setaffinity,
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
        libc::SYS_prctl,
        libc::SYS_prlimit64,
        libc::SYS_restart_syscall,
        libc::SYS_tgkill,
        libc::SYS_get_mempolicy,
    ];
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        allowed.into_iter().map(|number| (number, vec![])).collect();
    if cards {
        // How drivers speak to their cards; Landlock says which files can be spoken to.
        let driving = [libc::SYS_ioctl, libc::SYS_dup, libc::SYS_readlink, libc::SYS_readlinkat];
        rules.extend(driving.into_iter().map(|number| (number, vec![])));
    }
    let only = |argument, operator, value: u64| {
        let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Qword, operator, value)?;
        Ok::<_, seccompiler::Error>(vec![SeccompRule::new(vec![condition])?])
    };
    // Signals to itself, limits of its own, threads and no processes.
    let thread = u64::try_from(libc::CLONE_THREAD).unwrap_or_default();
    let own = u64::from(std::process::id());
    rules.insert(libc::SYS_tgkill, only(0, SeccompCmpOp::Eq, own)?);
    rules.insert(libc::SYS_prlimit64, only(0, SeccompCmpOp::Eq, 0)?);
    rules.insert(libc::SYS_clone, only(0, SeccompCmpOp::MaskedEq(thread), thread)?);
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Errno(u32::try_from(libc::EPERM).unwrap_or(1)),
        SeccompAction::Allow,
        std::env::consts::ARCH.try_into()?,
    )?;
    Ok(filter.try_into()?)
}

/// `clone3` hides its flags behind a pointer that no filter can follow. Said to be missing, it makes
/// the C library fall back to `clone`, whose flags are checked.
fn no_clone3() -> Result<BpfProgram, seccompiler::Error> {
    let filter = SeccompFilter::new(
        BTreeMap::from([(libc::SYS_clone3, vec![])]),
        SeccompAction::Allow,
        SeccompAction::Errno(u32::try_from(libc::ENOSYS).unwrap_or(38)),
        std::env::consts::ARCH.try_into()?,
    )?;
    Ok(filter.try_into()?)
}

#[cfg(test)]
mod tests;
