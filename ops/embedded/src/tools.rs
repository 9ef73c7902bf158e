//! The search path of programs. It never includes the working directory, because other users could
//! write programs there.

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
};

use crate::StartError;

/// The environment variable with the folder that is searched first.
const TOOLS_VARIABLE: &str = "FFAPI_TOOLS";

/// Finds a program in `FFAPI_TOOLS`, next to the current executable, in `extra`, or in PATH.
pub(crate) fn find(program: &'static str, extra: &[PathBuf]) -> Result<PathBuf, StartError> {
    let configured = env::var_os(TOOLS_VARIABLE).map(PathBuf::from);
    let own_folder = env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_owned));
    let first = configured.into_iter().chain(checkout_tools()).chain(own_folder);
    let path = env::var_os("PATH").unwrap_or_default();
    folders(first, extra, &path)
        .into_iter()
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
        .ok_or(StartError::Missing { program })
}

fn folders(first: impl Iterator<Item = PathBuf>, extra: &[PathBuf], path: &OsStr) -> Vec<PathBuf> {
    let all = first.chain(extra.iter().cloned()).chain(env::split_paths(path));
    // A relative or empty entry of PATH means the working directory.
    all.filter(|folder| folder.is_absolute()).collect()
}

/// The tools that `ops/setup` installed, for debug builds.
fn checkout_tools() -> Option<PathBuf> {
    cfg!(debug_assertions).then(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools/bin"))
}

/// The folders of Debian's Postgres versions, newest first.
pub(crate) fn debian_postgres() -> Vec<PathBuf> {
    let versions = Path::new("/usr/lib/postgresql").read_dir().into_iter().flatten().flatten();
    let mut folders: Vec<_> = versions.map(|entry| entry.path().join("bin")).collect();
    folders.sort();
    folders.reverse();
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_not_searched_in_the_working_directory() {
        let first = ["/configured", "tools"].map(PathBuf::from).into_iter();
        let found = folders(first, &[PathBuf::from("/extra")], OsStr::new(":.:bin:/usr/bin"));
        assert_eq!(found, ["/configured", "/extra", "/usr/bin"].map(PathBuf::from));
    }
}
