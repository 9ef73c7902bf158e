use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    os::{
        fd::AsRawFd,
        unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown},
    },
    path::{Path, PathBuf},
    str::FromStr,
    time::SystemTime,
};

use ffapi_domain::{JobId, Tenant, location::Location, media::Overwrite};
use rustix::{
    fs::{AtFlags, CWD, linkat},
    process::{getegid, geteuid},
};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{Received, Storage, StorageError, store::remove_empty_folders};

/// A file in the staging folder of an attempt.
#[derive(Debug, Clone)]
pub struct Staged {
    /// The job whose output it is.
    pub job: JobId,
    /// The attempt that produced it.
    pub attempt: u32,
    /// The file name in the staging folder.
    pub name: String,
}

impl Storage {
    fn path(&self, Staged { job, attempt, name }: &Staged) -> PathBuf {
        self.staging(*job, *attempt).join(name)
    }

    fn staging(&self, job: JobId, attempt: u32) -> PathBuf {
        self.root.join(".staging").join(job.to_string()).join(attempt.to_string())
    }

    /// Moves a finished file, given as an open descriptor, into the attempt's staging folder: it is
    /// hashed, synced to disk and owned by the service. The process that wrote it must have ended,
    /// so that the hashed contents are final.
    ///
    /// # Errors
    /// When the disk fails; `Interrupted` when it is cancelled, because hashing a large file takes
    /// long.
    pub async fn stage(
        &self,
        staged: &Staged,
        from: File,
        cancelled: CancellationToken,
    ) -> Result<Received, StorageError> {
        let to = self.path(staged);
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
    ///
    /// # Errors
    /// `Exists` or `Blocked`; else when the disk fails.
    pub async fn check_free(
        &self,
        to: &Location,
        overwrite: Overwrite,
    ) -> Result<(), StorageError> {
        let (file, root, shown) = (self.file(to)?, self.root.clone(), to.to_string());
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

    /// Publishes a staged file: links it under its final name. The staged name is kept until the
    /// job has ended, because it identifies the file: equal bytes of another job are a different
    /// file. Idempotent.
    ///
    /// # Errors
    /// `Exists` when another file exists there and must not be replaced; else when the disk fails.
    pub async fn publish(
        &self,
        staged: &Staged,
        to: &Location,
        sha256: &str,
        overwrite: Overwrite,
    ) -> Result<(), StorageError> {
        let (from, file) = (self.path(staged), self.file(to)?);
        let (shown, sha256, job) = (to.to_string(), sha256.to_owned(), staged.job);
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
                let missing = format!("the sealed output of {job} is not in staging");
                return Err(StorageError::unavailable(missing));
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

    /// Removes published outputs of a job that failed before all of them were published: only files
    /// that are still identical with the staged ones. The staged files are kept.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn withdraw(&self, published: Vec<(Staged, Location)>) -> Result<(), StorageError> {
        let (mut files, root) = (Vec::new(), self.root.clone());
        for (staged, to) in &published {
            files.push((self.path(staged), self.file(to)?));
        }
        blocking(move || {
            for (from, file) in files.iter().filter(|(from, file)| is_same_file(from, file)) {
                // Moved first and checked again: another job may have replaced it just now.
                let moved = unique_sibling(from);
                match fs::rename(file, &moved) {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(error.into()),
                }
                if from.exists() && !is_same_file(from, &moved) {
                    let _ = fs::hard_link(&moved, file);
                }
                fs::remove_file(&moved)?;
                sync_folder(file)?;
                remove_empty_folders(&root, file);
            }
            Ok(())
        })
        .await
    }

    /// Deletes what a job's attempts up to and including `last` have staged; later ones may be
    /// running.
    pub async fn clear_staging(&self, job: JobId, last: u32) {
        for attempt in 1..=last {
            self.drop_staging(job, attempt).await;
        }
    }

    /// The jobs of all tenants with staging folders that have not changed since `before`.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn staged_before(
        &self,
        before: SystemTime,
    ) -> Result<Vec<(Tenant, JobId)>, StorageError> {
        let root = self.root.clone();
        blocking(move || {
            let mut old = Vec::new();
            for folder in fs::read_dir(&root)?.flatten() {
                let Some(tenant) = parse_name::<Tenant>(&folder) else { continue };
                let jobs = fs::read_dir(folder.path().join(".staging"));
                for job in jobs.into_iter().flatten().flatten() {
                    let changed = job.metadata().and_then(|meta| meta.modified());
                    if let (Some(id), Ok(changed)) = (parse_name(&job), changed)
                        && changed < before
                    {
                        old.push((tenant.clone(), id));
                    }
                }
            }
            Ok(old)
        })
        .await
    }

    /// Deletes everything that an attempt staged.
    pub async fn drop_staging(&self, job: JobId, attempt: u32) {
        let folder = self.staging(job, attempt);
        let _ = tokio::fs::remove_dir_all(&folder).await;
        if let Some(of_job) = folder.parent() {
            // Fails, as intended, while other attempts have staged files.
            let _ = tokio::fs::remove_dir(of_job).await;
        }
    }
}

/// How often a folder that was removed just now is created again.
const FOLDER_RETRIES: u32 = 10;

/// Parses the name of a directory entry; none if it is not a valid `T`.
fn parse_name<T: FromStr>(entry: &fs::DirEntry) -> Option<T> {
    entry.file_name().to_str()?.parse().ok()
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
) -> Result<T, StorageError> {
    tokio::task::spawn_blocking(work).await.map_err(StorageError::unavailable)?
}

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
