use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    os::{
        fd::AsRawFd,
        unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown},
    },
    path::{Path, PathBuf},
};

use ffapi_domain::media::Overwrite;
use rustix::{
    fs::{AtFlags, CWD, linkat},
    process::{getegid, geteuid},
};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Folder, blocking, remove_empty_folders};
use crate::{Received, StorageError, object::Object};

impl Folder {
    /// Moves a finished file, given as an open descriptor, into the attempt's staging folder: it is
    /// hashed, synced to disk and owned by the service. The process that wrote it must have ended,
    /// so that the hashed contents are final. `Interrupted` when it is cancelled, because hashing a
    /// large file takes long.
    pub(super) async fn take(
        &self,
        staged: &Object,
        from: File,
        cancelled: CancellationToken,
    ) -> Result<Received, StorageError> {
        let to = self.path(staged)?;
        blocking(move || {
            make_folder_of(&to)?;
            take_ownership(&from)?;
            // Never overwritten in place: the file may already be published under another name.
            let _ = fs::remove_file(&to);
            let staged = link(&from, &to).or_else(|_| copy(&from, &to))?;
            let received = digest(&staged, &cancelled)?;
            staged.sync_all()?;
            sync_folder(&to)?;
            Ok(received)
        })
        .await
    }

    /// Checks that a file can be published at a location: nothing has its name that may not be
    /// replaced, and nothing but folders the names of its folders.
    pub(super) async fn check_name(
        &self,
        to: &Object,
        overwrite: Overwrite,
    ) -> Result<(), StorageError> {
        let (file, root, shown) = (self.path(to)?, self.root.clone(), to.shown.clone());
        blocking(move || {
            let mut folders = file.ancestors().skip(1).take_while(|path| path.starts_with(&root));
            if folders.any(|folder| fs::symlink_metadata(folder).is_ok_and(|meta| !meta.is_dir())) {
                return Err(StorageError::Blocked(shown));
            }
            match fs::symlink_metadata(&file) {
                Ok(meta) if meta.is_dir() => Err(StorageError::Blocked(shown)),
                Ok(_) if overwrite == Overwrite::Fail => Err(StorageError::Exists(shown)),
                Err(error) if error.kind() == io::ErrorKind::InvalidFilename => {
                    Err(StorageError::Blocked(shown))
                }
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
                Ok(_) | Err(_) => Ok(()),
            }
        })
        .await
    }

    /// Links a staged file under its final name. The staged name is kept until the job has ended,
    /// because it identifies the file: equal bytes of another job are a different file. Idempotent.
    pub(super) async fn link(
        &self,
        staged: &Object,
        to: &Object,
        sha256: &str,
        overwrite: Overwrite,
    ) -> Result<(), StorageError> {
        let (from, file) = (self.path(staged)?, self.path(to)?);
        let (shown, sha256) = (to.shown.clone(), sha256.to_owned());
        blocking(move || {
            if is_same_file(&from, &file) {
                // The process that linked it may have died before the folder was synced.
                return sync_folder(&file);
            }
            if !from.exists() {
                // Published by an older version that moved files out of staging.
                if hash_file(&file).is_ok_and(|existing| existing.sha256 == sha256) {
                    return Ok(());
                }
                return Err(StorageError::not_staged(&shown));
            }
            let link = || match overwrite {
                // Unlike a rename, a link never replaces a file that was created just now.
                Overwrite::Fail => fs::hard_link(&from, &file),
                Overwrite::Replace => replace(&from, &file),
            };
            make_folder_of(&file)?;
            let mut linked = link();
            for _ in 0..FOLDER_RETRIES {
                match &linked {
                    // The folder was empty, and the deletion of another file in it removed it.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        make_folder_of(&file)?;
                        linked = link();
                    }
                    _ => break,
                }
            }
            match linked {
                // Another process delivering the same output was faster.
                Err(_) if is_same_file(&from, &file) => {}
                Err(_) if file.is_dir() => return Err(StorageError::Blocked(shown)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    return Err(StorageError::Exists(shown));
                }
                linked => linked?,
            }
            sync_folder(&file)
        })
        .await
    }

    /// Removes a published file if it is still identical with the staged one, which is kept.
    pub(super) async fn unlink(&self, staged: &Object, to: &Object) -> Result<(), StorageError> {
        let (from, file, root) = (self.path(staged)?, self.path(to)?, self.root.clone());
        blocking(move || {
            if !is_same_file(&from, &file) {
                return Ok(());
            }
            // Moved first and checked again: another job may have replaced it just now.
            let moved = unique_sibling(&from);
            match fs::rename(&file, &moved) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(error.into()),
            }
            if from.exists() && !is_same_file(&from, &moved) {
                let _ = fs::hard_link(&moved, &file);
            }
            fs::remove_file(&moved)?;
            sync_folder(&file)?;
            remove_empty_folders(&root, &file);
            Ok(())
        })
        .await
    }
}

/// How often a folder that was removed just now is created again.
const FOLDER_RETRIES: u32 = 10;

/// Makes the service the owner of a file, and the only user who can read it.
fn take_ownership(file: &File) -> io::Result<()> {
    fchown(file, Some(geteuid().as_raw()), Some(getegid().as_raw()))?;
    file.set_permissions(fs::Permissions::from_mode(0o600))
}

/// An unused path in the same folder.
fn unique_sibling(path: &Path) -> PathBuf {
    path.with_extension(Uuid::now_v7().simple().to_string())
}

/// Links a file under a second name, atomically replacing an existing file.
fn replace(from: &Path, to: &Path) -> io::Result<()> {
    let temporary = unique_sibling(from);
    fs::hard_link(from, &temporary)?;
    let renamed = fs::rename(&temporary, to);
    // A rename keeps the old name if both are already links to the same file.
    let _ = fs::remove_file(&temporary);
    renamed
}

/// True if both paths are links to the same file.
fn is_same_file(one: &Path, other: &Path) -> bool {
    let file = |path| fs::symlink_metadata(path).map(|meta| (meta.dev(), meta.ino()));
    file(one).is_ok_and(|one| file(other).is_ok_and(|other| one == other))
}

/// Links an open file under another name on the same file system.
fn link(from: &File, to: &Path) -> io::Result<File> {
    let open = format!("/proc/self/fd/{}", from.as_raw_fd());
    linkat(CWD, open, CWD, to, AtFlags::SYMLINK_FOLLOW)?;
    from.try_clone()
}

/// Copies an open file, for a target on another file system.
fn copy(mut from: &File, to: &Path) -> io::Result<File> {
    from.seek(SeekFrom::Start(0))?;
    let mut options = OpenOptions::new();
    let mut copied = options.read(true).write(true).create_new(true).mode(0o600).open(to)?;
    io::copy(&mut from, &mut copied)?;
    Ok(copied)
}

/// Size and SHA-256 of the file at a path.
fn hash_file(path: &Path) -> Result<Received, StorageError> {
    // Reading a pipe or a device might block forever.
    if !fs::symlink_metadata(path)?.is_file() {
        return Err(io::Error::other("not a regular file").into());
    }
    digest(&File::open(path)?, &CancellationToken::new())
}

/// Size and SHA-256 of an open file; stops with `Interrupted` when cancelled.
fn digest(mut file: &File, cancelled: &CancellationToken) -> Result<Received, StorageError> {
    file.seek(SeekFrom::Start(0))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    let mut size = 0_u64;
    loop {
        if cancelled.is_cancelled() {
            return Err(StorageError::Interrupted("it was cancelled".to_owned()));
        }
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(Received { size, sha256: hex::encode(hash.finalize()) });
        }
        size = size.saturating_add(read as u64);
        hash.update(buffer.get(..read).unwrap_or_default());
    }
}

/// Creates the parent folder of a file and its ancestors, and syncs them.
fn make_folder_of(file: &Path) -> Result<(), StorageError> {
    let Some(folder) = file.parent() else { return Ok(()) };
    let missing: Vec<&Path> = folder.ancestors().take_while(|folder| !folder.exists()).collect();
    fs::create_dir_all(folder)?;
    missing.into_iter().try_for_each(sync_folder)
}

/// Syncs the parent folder of a file: a new name is durable only after that.
fn sync_folder(file: &Path) -> Result<(), StorageError> {
    if let Some(folder) = file.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}
