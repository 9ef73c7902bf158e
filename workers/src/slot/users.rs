use std::{
    fs::{DirBuilder, File},
    io,
    ops::RangeInclusive,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

/// Folder of the lock files, shared by all workers on the machine and cleared at boot.
const LOCK_FOLDER: &str = "/run/ffapi/users";

/// The user ids that children run as when the worker is root. No two running children share one, so
/// that none can signal another, or read or write its files.
#[derive(Debug, Clone)]
pub(crate) struct Users {
    /// Folder with one lock file per id in use; shared by the workers on a machine.
    folder: PathBuf,
    ids: RangeInclusive<u32>,
}

/// The user id of one child; it is released when this is dropped.
#[derive(Debug)]
pub(crate) struct SlotUser {
    /// The user id, and also the group id.
    pub(crate) id: u32,
    _lock: File,
}

impl Users {
    /// Uses this range of ids, coordinated with every other worker on this machine.
    ///
    /// # Errors
    /// When the folder of the lock files cannot be created.
    pub(crate) fn of_machine(ids: RangeInclusive<u32>) -> io::Result<Self> {
        Self::new(Path::new(LOCK_FOLDER), ids)
    }

    /// Uses this range of ids, coordinated with workers that share the lock folder.
    fn new(folder: &Path, ids: RangeInclusive<u32>) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        Ok(Self { folder: folder.to_owned(), ids })
    }

    /// Takes the first free id.
    ///
    /// # Errors
    /// When all are in use, or the folder cannot be used.
    pub(crate) fn take(&self) -> io::Result<SlotUser> {
        for id in self.ids.clone() {
            let lock = File::create(self.folder.join(id.to_string()))?;
            match lock.try_lock() {
                Ok(()) => return Ok(SlotUser { id, _lock: lock }),
                Err(std::fs::TryLockError::WouldBlock) => {}
                Err(std::fs::TryLockError::Error(error)) => return Err(error),
            }
        }
        let (first, last) = (self.ids.start(), self.ids.end());
        Err(io::Error::other(format!(
            "all user ids from {first} to {last} are in use; extend `worker.child_uids`"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_have_different_users_and_release_them_when_they_end() {
        let folder = tempfile::tempdir().unwrap();
        let users = Users::new(folder.path(), 700..=701).unwrap();
        // Another worker on the same machine.
        let other = Users::new(folder.path(), 700..=701).unwrap();
        let (one, two) = (users.take().unwrap(), other.take().unwrap());
        assert_eq!((one.id, two.id), (700, 701));
        assert!(users.take().unwrap_err().to_string().contains("child_uids"));
        drop(one);
        assert_eq!(other.take().unwrap().id, 700);
    }
}
