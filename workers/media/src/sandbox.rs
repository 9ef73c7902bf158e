//! Locks a child in: the descriptors that it is handed, files of its own in one folder, and nothing else.

mod syscalls;

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, LandlockStatus, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreatedAttr, Scope,
};
use nix::sys::resource::{Resource, setrlimit};

use crate::{MediaError, child::Settings};

/// What a child may use up where its worker does not say less.
const MAX_MEMORY: u64 = 12 * 1024 * 1024 * 1024;
const MAX_FILE: u64 = 64 * 1024 * 1024 * 1024;
const MAX_OPEN_FILES: u64 = 256;

/// Locks this process, still single-threaded, into what it has open and files of its own in `out`: no
/// folders, no sockets, no programs, no signals to others. Answers how well that worked.
pub(crate) fn enter(out: &Path, settings: &Settings) -> Result<String, MediaError> {
    let broken = |what: &str| {
        let what = format!("the sandbox could not be set up: {what}");
        move |error: &dyn std::fmt::Display| MediaError::internal(&what, error)
    };
    let limits = [
        (Resource::RLIMIT_CORE, Some(0)),
        (Resource::RLIMIT_AS, Some(settings.memory.unwrap_or(MAX_MEMORY))),
        (Resource::RLIMIT_FSIZE, Some(MAX_FILE)),
        (Resource::RLIMIT_NOFILE, Some(MAX_OPEN_FILES)),
        (Resource::RLIMIT_NPROC, settings.threads),
    ];
    for (resource, limit) in limits {
        let Some(limit) = limit else { continue };
        setrlimit(resource, limit, limit).map_err(|error| broken("limits")(&error))?;
    }
    let landlock =
        if settings.seccomp_only { None } else { Some(landlock(out, &settings.devices)?) };
    let filters = syscalls::filters(!settings.devices.is_empty());
    for filter in &filters.map_err(|error| broken("seccomp")(&error))? {
        seccompiler::apply_filter_all_threads(filter).map_err(|e| broken("seccomp")(&e))?;
    }
    Ok(landlock
        .map_or_else(|| "seccomp only".to_owned(), |abi| format!("landlock {abi:?} and seccomp")))
}

/// ABI 2 is the least that keeps files inside the folder (renames and links included).
fn landlock(out: &Path, devices: &[PathBuf]) -> Result<ABI, MediaError> {
    let broken = |error: &dyn std::fmt::Display| {
        MediaError::internal("the sandbox could not be set up: landlock", error)
    };
    // The newest that is known here; older kernels take what they have of it.
    let abi = ABI::V6;
    let output = PathFd::new(out).map_err(|error| broken(&error))?;
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
    // Files of its own, and their names within one folder.
    let own =
        read | AccessFs::WriteFile | AccessFs::Truncate | AccessFs::MakeReg | AccessFs::RemoveFile;
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))
        .and_then(|ruleset| ruleset.scope(Scope::from_all(abi)))
        .and_then(Ruleset::create)
        .and_then(|ruleset| ruleset.add_rule(PathBeneath::new(output, own)))
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

#[cfg(test)]
mod tests;
