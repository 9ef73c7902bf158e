//! A template cluster that is created once and then copied, because most of the time of a first
//! start is spent in `initdb`.

use std::{
    fs::{self, File},
    io,
    path::Path,
    process::Command,
};

use super::{PROGRAM, Postgres, cluster::Cluster};
use crate::{StartError, temporary_folder, tools};

impl Postgres {
    /// Copies an empty cluster into `folder`, where [`Postgres::start`] then finds it. The cluster
    /// is kept below `templates` for each version of Postgres; the first caller creates it while
    /// others wait.
    ///
    /// # Errors
    /// When the programs are missing or a folder is unusable.
    pub fn copy_cluster(templates: &Path, folder: &Path) -> Result<(), StartError> {
        let at = |source: io::Error| StartError::Folder { path: templates.to_owned(), source };
        let template = templates.join(version()?);
        create(&template).map_err(|error| match error {
            CreateError::Io(source) => at(source),
            CreateError::Start(error) => error,
        })?;
        fs::create_dir_all(folder).map_err(at)?;
        let cluster = Cluster::prepare(&folder.canonicalize().map_err(at)?)?;
        copy(&template.join("postgres"), &cluster.data).map_err(at)
    }
}

/// The version that the server reports.
fn version() -> Result<String, StartError> {
    let program = tools::find(PROGRAM, &tools::debian_postgres())?;
    let output = Command::new(program).arg("--version").output();
    let output = output.map_err(|source| StartError::Spawn { program: PROGRAM, source })?;
    let stated = String::from_utf8_lossy(&output.stdout);
    Ok(stated.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '.').collect())
}

#[derive(Debug, thiserror::Error)]
enum CreateError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Start(#[from] StartError),
}

fn create(template: &Path) -> Result<(), CreateError> {
    fs::create_dir_all(template)?;
    let lock = File::create(template.join("lock"))?;
    lock.lock()?;
    let (finished, unfinished) = (template.join("postgres"), template.join("postgres.new"));
    if finished.exists() {
        return Ok(());
    }
    // The database's user may not be able to reach the template itself.
    let folder = temporary_folder()?;
    let cluster = Cluster::prepare(&folder.path().canonicalize()?)?;
    cluster.initdb()?;
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished)?;
    }
    fs::create_dir(&unfinished)?;
    copy(&cluster.data, &unfinished)?;
    Ok(fs::rename(unfinished, finished)?)
}

/// Copies what is in a folder, with owners and modes.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let output = Command::new("cp").arg("-a").arg(from.join(".")).arg(to).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()))
}
