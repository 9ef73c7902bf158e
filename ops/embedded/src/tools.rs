//! Where programs are looked for. The working directory is no such place: whoever can write there
//! would choose what we run.

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
};

use crate::StartError;

/// Names the folder that is looked into first.
const SETTING: &str = "FFAPI_TOOLS";

/// Finds a program: where `FFAPI_TOOLS` says, beside our own, where `extra` says, and along PATH.
pub(crate) fn find(program: &'static str, extra: &[PathBuf]) -> Result<PathBuf, StartError> {
    let told = env::var_os(SETTING).map(PathBuf::from);
    let beside = env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_owned));
    let first = told.into_iter().chain(of_the_checkout()).chain(beside);
    let path = env::var_os("PATH").unwrap_or_default();
    folders(first, extra, &path)
        .into_iter()
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
        .ok_or(StartError::Missing { program })
}

fn folders(first: impl Iterator<Item = PathBuf>, extra: &[PathBuf], path: &OsStr) -> Vec<PathBuf> {
    let all = first.chain(extra.iter().cloned()).chain(env::split_paths(path));
    // An entry of PATH that is relative, or empty, means the working directory.
    all.filter(|folder| folder.is_absolute()).collect()
}

/// What `ops/setup` fetched, for builds that are made to be tested.
fn of_the_checkout() -> Option<PathBuf> {
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
    fn nothing_is_looked_for_relative_to_the_working_directory() {
        let first = ["/told", "tools"].map(PathBuf::from).into_iter();
        let found = folders(first, &[PathBuf::from("/extra")], OsStr::new(":.:bin:/usr/bin"));
        assert_eq!(found, ["/told", "/extra", "/usr/bin"].map(PathBuf::from));
    }
}
