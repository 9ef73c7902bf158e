//! Folders and files that only their owner may read, independent of the process' umask.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

use nix::unistd::geteuid;

/// Creates a folder that only the current user may enter, or restricts an existing one.
///
/// # Errors
/// When it cannot be created, or is not a folder of the current user.
pub fn folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let meta = fs::symlink_metadata(path)?;
    if !meta.is_dir() || meta.uid() != geteuid().as_raw() {
        let why = "it is not a folder of the user that runs the service";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    if meta.mode() & 0o077 != 0 {
        fs::set_permissions(path, Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// Creates or truncates a file that only its owner may read.
///
/// # Errors
/// When it cannot be created.
pub fn file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    // The mode above applies only to a new file.
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
}

/// Writes a file atomically: after an error an existing one is unchanged.
///
/// # Errors
/// When it cannot be written.
pub fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let draft = path.with_file_name(name);
    let mut file = file(&draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(draft, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().mode() & 0o777
    }

    #[test]
    fn permissions_of_existing_folders_and_files_are_restricted() {
        let all = tempfile::tempdir().unwrap();
        let (inner, text) = (all.path().join("a/b"), all.path().join("a/b/text"));
        folder(&inner).unwrap();
        write(&text, "secret").unwrap();
        assert_eq!((mode(&inner), mode(&text)), (0o700, 0o600));
        fs::set_permissions(&inner, Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(&text, Permissions::from_mode(0o644)).unwrap();
        folder(&inner).unwrap();
        write(&text, "another").unwrap();
        assert_eq!((mode(&inner), mode(&text)), (0o700, 0o600));
        assert_eq!(fs::read_to_string(&text).unwrap(), "another");
    }

    #[test]
    fn a_symbolic_link_is_rejected() {
        let all = tempfile::tempdir().unwrap();
        let link = all.path().join("link");
        std::os::unix::fs::symlink("/tmp", &link).unwrap();
        assert!(folder(&link).is_err());
    }
}
