use std::{
    env,
    path::{Path, PathBuf},
};

use crate::StartError;

/// Finds a program: the project's own tools folder, what a system has, then PATH.
pub(crate) fn find(program: &'static str, extra: &[PathBuf]) -> Result<PathBuf, StartError> {
    let own = [env::current_dir().ok(), env::current_exe().ok()];
    let own = own.iter().flatten().flat_map(|start| start.ancestors());
    let path = env::var_os("PATH").unwrap_or_default();
    own.map(|folder| folder.join(".tools/bin").join(program))
        .chain(extra.iter().map(|folder| folder.join(program)))
        .chain(env::split_paths(&path).map(|folder| folder.join(program)))
        .find(|candidate| candidate.is_file())
        .ok_or(StartError::Missing { program })
}

/// The folders of Debian's Postgres versions, newest first.
pub(crate) fn debian_postgres() -> Vec<PathBuf> {
    let versions = Path::new("/usr/lib/postgresql").read_dir().into_iter().flatten().flatten();
    let mut folders: Vec<_> = versions.map(|entry| entry.path().join("bin")).collect();
    folders.sort();
    folders.reverse();
    folders
}
