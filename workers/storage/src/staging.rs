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

use crate::{Received, Storage, StorageError};

/// A file in the staging folder of an attempt.
#[derive(Debug, Clone)]
pub struct Staged {
    /// Whose output it is to be.
    pub job: JobId,
    /// Which attempt made it.
    pub attempt: u32,
    /// What it is called there.
    pub name: String,
}

impl Storage {
    fn path(&self, Staged { job, attempt, name }: &Staged) -> PathBuf {
        self.staging(*job, *attempt).join(name)
    }

    fn staging(&self, job: JobId, attempt: u32) -> PathBuf {
        self.root.join(".staging").join(job.to_string()).join(attempt.to_string())
    }

    /// Takes a finished file, by its open descriptor, into the attempt's staging folder: hashed, on
    /// disk, ours alone. Whoever made it must be gone: what is hashed is what stays.
    ///
    /// # Errors
    /// When the disk fails, and `BrokenOff` when it is called off: hashing takes as long as the file is.
    pub async fn stage(
        &self,
        staged: &Staged,
        from: File,
        called_off: CancellationToken,
    ) -> Result<Received, StorageError> {
        let to = self.path(staged);
        blocking(move || {
            make_folder_of(&to)?;
            own(&from)?;
            // Never written over: it could have another name already.
            let _ = fs::remove_file(&to);
            let staged = link(&from, &to).or_else(|_| copy(&from, &to))?;
            let received = digest(&staged, &called_off)?;
            staged.sync_all()?;
            sync_folder(&to)?;
            Ok(received)
        })
        .await
    }

    /// Gives a staged file its final name beside the one in staging, which tells until the job is over
    /// whose file it is: the same bytes of another's are another file. Doing it again is harmless.
    ///
    /// # Errors
    /// `Exists` when another file stands there and is to stay; else when the disk fails.
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
            if same(&from, &file) {
                // Whoever linked it may have died before that was safe.
                return sync_folder(&file);
            }
            if !from.exists() {
                // Delivered by a version that moved files out of staging.
                if hash(&file).is_ok_and(|found| found.sha256 == sha256) {
                    return Ok(());
                }
                let lost = format!("the sealed output of {job} is not in staging");
                return Err(StorageError::unavailable(lost));
            }
            make_folder_of(&file)?;
            let linked = match overwrite {
                // Unlike a rename, a link never replaces what somebody else put there just now.
                Overwrite::Fail => fs::hard_link(&from, &file),
                Overwrite::Replace => replace(&from, &file),
            };
            match linked {
                // Who resumes a delivery may meet whoever began it.
                Err(_) if same(&from, &file) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    return Err(StorageError::Exists(shown));
                }
                linked => linked?,
            }
            sync_folder(&file)
        })
        .await
    }

    /// Takes back what was published of a job that failed before all of it was: the files that are still
    /// the ones in staging, and no others. Staging itself stays.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn withdraw(&self, published: Vec<(Staged, Location)>) -> Result<(), StorageError> {
        let mut files = Vec::new();
        for (staged, to) in &published {
            files.push((self.path(staged), self.file(to)?));
        }
        blocking(move || {
            for (from, file) in files.iter().filter(|(from, file)| same(from, file)) {
                // Moved first and looked at again: another's file may have taken its place just now.
                let moved = beside(from);
                match fs::rename(file, &moved) {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(error.into()),
                }
                if from.exists() && !same(from, &moved) {
                    let _ = fs::hard_link(&moved, file);
                }
                fs::remove_file(&moved)?;
                sync_folder(file)?;
            }
            Ok(())
        })
        .await
    }

    /// Forgets what the attempts at a job staged up to one of them: later ones may be at it.
    pub async fn clear_staging(&self, job: JobId, last: u32) {
        for attempt in 1..=last {
            self.drop_staging(job, attempt).await;
        }
    }

    /// The jobs of every tenant of which something was staged before a moment and is still there.
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
                let Some(tenant) = named::<Tenant>(&folder) else { continue };
                let jobs = fs::read_dir(folder.path().join(".staging"));
                for job in jobs.into_iter().flatten().flatten() {
                    let changed = job.metadata().and_then(|meta| meta.modified());
                    if let (Some(id), Ok(changed)) = (named(&job), changed)
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

    /// Forgets everything an attempt staged.
    pub async fn drop_staging(&self, job: JobId, attempt: u32) {
        let folder = self.staging(job, attempt);
        let _ = tokio::fs::remove_dir_all(&folder).await;
        if let Some(of_job) = folder.parent() {
            // Only goes away with the last attempt.
            let _ = tokio::fs::remove_dir(of_job).await;
        }
    }
}

/// What an entry of a folder is called, if it is called so.
fn named<T: FromStr>(entry: &fs::DirEntry) -> Option<T> {
    entry.file_name().to_str()?.parse().ok()
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
) -> Result<T, StorageError> {
    tokio::task::spawn_blocking(work).await.map_err(StorageError::unavailable)?
}

/// Makes a file that somebody else made ours, and readable to nobody else.
fn own(file: &File) -> io::Result<()> {
    fchown(file, Some(geteuid().as_raw()), Some(getegid().as_raw()))?;
    file.set_permissions(fs::Permissions::from_mode(0o600))
}

/// A name in the same folder that nobody has.
fn beside(path: &Path) -> PathBuf {
    path.with_extension(Uuid::now_v7().simple().to_string())
}

/// Gives a file a second name in the place of another's.
fn replace(from: &Path, to: &Path) -> io::Result<()> {
    let beside = beside(from);
    fs::hard_link(from, &beside)?;
    let renamed = fs::rename(&beside, to);
    // It stays where both were names of one file already.
    let _ = fs::remove_file(&beside);
    renamed
}

/// True if both names are of one file.
fn same(one: &Path, other: &Path) -> bool {
    let file = |path| fs::symlink_metadata(path).map(|meta| (meta.dev(), meta.ino()));
    file(one).is_ok_and(|one| file(other).is_ok_and(|other| one == other))
}

/// Gives an open file a second name on the same disk.
fn link(from: &File, to: &Path) -> io::Result<File> {
    let open = format!("/proc/self/fd/{}", from.as_raw_fd());
    linkat(CWD, open, CWD, to, AtFlags::SYMLINK_FOLLOW)?;
    from.try_clone()
}

/// Copies an open file to another disk.
fn copy(mut from: &File, to: &Path) -> io::Result<File> {
    from.seek(SeekFrom::Start(0))?;
    let mut options = OpenOptions::new();
    let mut copied = options.read(true).write(true).create_new(true).mode(0o600).open(to)?;
    io::copy(&mut from, &mut copied)?;
    Ok(copied)
}

fn hash(path: &Path) -> Result<Received, StorageError> {
    // Reading a pipe or a device might never end.
    if !fs::symlink_metadata(path)?.is_file() {
        return Err(io::Error::other("not a file").into());
    }
    digest(&File::open(path)?, &CancellationToken::new())
}

fn digest(mut file: &File, called_off: &CancellationToken) -> Result<Received, StorageError> {
    file.seek(SeekFrom::Start(0))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    let mut size = 0_u64;
    loop {
        if called_off.is_cancelled() {
            return Err(StorageError::BrokenOff("it was called off".to_owned()));
        }
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(Received { size, sha256: hex::encode(hash.finalize()) });
        }
        size = size.saturating_add(read as u64);
        hash.update(buffer.get(..read).unwrap_or_default());
    }
}

/// Makes the folder that a file is to stand in, and those above it, durably.
fn make_folder_of(file: &Path) -> Result<(), StorageError> {
    let Some(folder) = file.parent() else { return Ok(()) };
    let missing: Vec<&Path> = folder.ancestors().take_while(|folder| !folder.exists()).collect();
    fs::create_dir_all(folder)?;
    missing.into_iter().try_for_each(sync_folder)
}

/// A new name is durable only once its folder is.
fn sync_folder(file: &Path) -> Result<(), StorageError> {
    if let Some(folder) = file.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}
