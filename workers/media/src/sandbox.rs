//! Confines a child to the descriptors that it receives and to files of its own in one folder.

mod syscalls;

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, LandlockStatus, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreatedAttr, Scope,
};
use nix::sys::resource::{Resource, setrlimit};

use crate::{MediaError, child::Settings};

/// Limits of a child, in bytes and descriptors; its worker may set a lower one for memory.
const MAX_MEMORY: u64 = 12 * 1024 * 1024 * 1024;
const MAX_FILE_SIZE: u64 = 64 * 1024 * 1024 * 1024;
const MAX_OPEN_FILES: u64 = 256;

/// Confines this process, which must be single-threaded, to what it has open and to its own files
/// in `out`: no folders, sockets, programs, or signals to other processes. Returns a description of
/// the mechanisms in force.
pub(crate) fn enter(out: &Path, settings: &Settings) -> Result<String, MediaError> {
    let failed = |what: &str| {
        let what = format!("the sandbox could not be set up: {what}");
        move |error: &dyn std::fmt::Display| MediaError::internal(&what, error)
    };
    let limits = [
        (Resource::RLIMIT_CORE, Some(0)),
        (Resource::RLIMIT_AS, Some(settings.memory.unwrap_or(MAX_MEMORY))),
        (Resource::RLIMIT_FSIZE, Some(MAX_FILE_SIZE)),
        (Resource::RLIMIT_NOFILE, Some(MAX_OPEN_FILES)),
        (Resource::RLIMIT_NPROC, settings.threads),
    ];
    for (resource, limit) in limits {
        let Some(limit) = limit else { continue };
        setrlimit(resource, limit, limit).map_err(|error| failed("limits")(&error))?;
    }
    let landlock =
        if settings.seccomp_only { None } else { Some(landlock(out, &settings.devices)?) };
    let filters = syscalls::filters(!settings.devices.is_empty());
    for filter in &filters.map_err(|error| failed("seccomp")(&error))? {
        seccompiler::apply_filter_all_threads(filter).map_err(|e| failed("seccomp")(&e))?;
    }
    Ok(landlock
        .map_or_else(|| "seccomp only".to_owned(), |abi| format!("landlock {abi:?} and seccomp")))
}

/// Restricts file access by Landlock. ABI 2 is the minimum: it also keeps renamed and linked files
/// within the folder.
fn landlock(out: &Path, devices: &[PathBuf]) -> Result<ABI, MediaError> {
    let failed = |error: &dyn std::fmt::Display| {
        MediaError::internal("the sandbox could not be set up: landlock", error)
    };
    // The newest ABI that this code handles; older kernels apply the part that they support.
    let abi = ABI::V6;
    let output = PathFd::new(out).map_err(|error| failed(&error))?;
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    // Fonts, to render text: public files, the same on every machine.
    let fonts =
        ["/etc/fonts", "/usr/share/fonts", "/usr/share/fontconfig", "/var/cache/fontconfig"];
    let fonts = fonts.iter().filter_map(|path| PathFd::new(path).ok());
    let fonts = fonts.map(|path| Ok::<_, landlock::RulesetError>(PathBeneath::new(path, read)));
    // A driver is a library that reads properties of its card, which are not secret either.
    let drivers = std::env::var("LIBVA_DRIVERS_PATH").unwrap_or_default();
    let public = ["/usr/lib", "/usr/share/drirc.d", "/sys/dev", "/sys/devices", "/proc/driver"];
    let public = public.into_iter().chain([drivers.as_str()]).filter(|_| !devices.is_empty());
    let public = public.filter_map(|path| PathFd::new(path).ok());
    let public = public.map(|path| Ok::<_, landlock::RulesetError>(PathBeneath::new(path, read)));
    let open = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev;
    let cards = devices.iter().filter_map(|path| PathFd::new(path).ok());
    let cards = cards.map(|path| Ok::<_, landlock::RulesetError>(PathBeneath::new(path, open)));
    // Its own files, and changes to their names within one folder.
    let own =
        read | AccessFs::WriteFile | AccessFs::Truncate | AccessFs::MakeReg | AccessFs::RemoveFile;
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))
        .and_then(|ruleset| ruleset.scope(Scope::from_all(abi)))
        .and_then(Ruleset::create)
        .and_then(|ruleset| ruleset.add_rule(PathBeneath::new(output, own)))
        .and_then(|ruleset| ruleset.add_rules(fonts))
        .and_then(|ruleset| ruleset.add_rules(public))
        .and_then(|ruleset| ruleset.add_rules(cards))
        .and_then(landlock::RulesetCreated::restrict_self)
        .map_err(|error| failed(&error))?;
    match status.landlock {
        LandlockStatus::Available { effective_abi, .. } if effective_abi >= ABI::V2 => {
            Ok(effective_abi)
        }
        LandlockStatus::Available { .. }
        | LandlockStatus::NotEnabled
        | LandlockStatus::NotImplemented => Err(MediaError::internal(
            "this kernel has no Landlock ABI 2, or a container's seccomp profile forbids it; set \
             worker.sandbox = \"seccomp-only\" to run anyway",
            "refused",
        )),
    }
}

#[cfg(test)]
mod tests;
