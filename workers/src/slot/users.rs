use std::{
    fs::{DirBuilder, File},
    io,
    ops::RangeInclusive,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

/// Where root keeps what is of this machine until it is started again.
const LOCKS: &str = "/run/ffapi/users";

/// The users that children become, where we are root: no two children are the same one at once, so
/// that none can send another signals, or read or write what is another's.
#[derive(Debug, Clone)]
pub(crate) struct Users {
    /// A lock file for each that is taken: workers on one machine share it.
    folder: PathBuf,
    ids: RangeInclusive<u32>,
}

/// A user that one child has; free again once this is dropped.
#[derive(Debug)]
pub(crate) struct SlotUser {
    /// The user's number, and that of its group.
    pub(crate) id: u32,
    _lock: File,
}

impl Users {
    /// These ids, for every worker on this machine.
    ///
    /// # Errors
    /// When the lock files cannot be kept.
    pub(crate) fn of_machine(ids: RangeInclusive<u32>) -> io::Result<Self> {
        Self::new(Path::new(LOCKS), ids)
    }

    /// These ids, for workers that share a folder.
    fn new(folder: &Path, ids: RangeInclusive<u32>) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        Ok(Self { folder: folder.to_owned(), ids })
    }

    /// The first that nobody has.
    ///
    /// # Errors
    /// When all are taken, or the folder cannot be used.
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
            "every user from {first} to {last} has a media child; `worker.child_uids` may name more"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_children_have_one_user_and_one_that_is_gone_leaves_its_user() {
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
