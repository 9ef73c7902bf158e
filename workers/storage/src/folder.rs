use std::{
    fs::{self, DirBuilder, File, Permissions},
    io,
    ops::Range,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use ffapi_domain::{Tenant, Timestamp, UploadId, location::Location};
use futures::{StreamExt, stream::BoxStream};
use object_store::{GetOptions, GetRange, ObjectStore, local::LocalFileSystem, path::Path as Key};
use rustix::{
    fs::{Mode, OFlags, ResolveFlags, openat2},
    io::Errno,
};

use crate::StorageError;

/// Maximum difference between the clocks of the file system and of a worker.
const MAX_CLOCK_SKEW: Duration = Duration::from_mins(1);
/// Separates the name of an object from a number while the object is being written.
const PARTIAL_SEPARATOR: char = '#';

/// An object store in a local folder.
#[derive(Debug, Clone)]
pub struct Storage {
    pub(crate) root: PathBuf,
    pub(crate) store: Arc<LocalFileSystem>,
}

/// Metadata of an object.
#[derive(Debug, Clone, Copy)]
pub struct Stat {
    /// Size in bytes.
    pub size: u64,
    /// Time of the last modification.
    pub modified: SystemTime,
}

/// An object that is being read.
pub struct Reading {
    /// Size of the whole object in bytes.
    pub size: u64,
    /// The byte range that is read.
    pub range: Range<u64>,
    /// The contents of the range, in chunks.
    pub bytes: BoxStream<'static, io::Result<Bytes>>,
}

impl std::fmt::Debug for Reading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reading({:?} of {})", self.range, self.size)
    }
}

/// Removes the folders of a file that are empty, up to the root of the store.
pub(crate) fn remove_empty_folders(root: &Path, file: &Path) {
    let folders = file.ancestors().skip(1).take_while(|folder| *folder != root);
    for folder in folders.filter(|folder| folder.starts_with(root)) {
        // Fails, as intended, for the first one that holds anything.
        if fs::remove_dir(folder).is_err() {
            return;
        }
    }
}

impl Storage {
    /// Opens the store in a folder, which is created if needed. Only the folder's owner may enter
    /// it: gateways and workers that share a store run as the same user.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub fn open(root: &Path) -> Result<Self, StorageError> {
        DirBuilder::new().recursive(true).mode(0o700).create(root)?;
        let root = root.canonicalize()?;
        if root.metadata()?.permissions().mode() & 0o077 != 0 {
            // Only the owner can change it; a folder of another user is left as it is.
            let _ = fs::set_permissions(&root, Permissions::from_mode(0o700));
        }
        let store = LocalFileSystem::new_with_prefix(&root)
            .map_err(StorageError::unavailable)?
            .with_fsync(true);
        Ok(Self { root, store: Arc::new(store) })
    }

    /// The tenant's part of the store: paths in it cannot lead into another tenant's.
    ///
    /// # Errors
    /// When its folder cannot be created.
    pub fn of(&self, tenant: &Tenant) -> Result<Self, StorageError> {
        Self::open(&self.root.join(tenant.as_str()))
    }

    /// True if the store's folder exists and is writable.
    pub async fn answers(&self) -> bool {
        tokio::fs::write(self.root.join(".answers"), b"").await.is_ok()
    }

    /// Deletes an object, and the folders that are empty without it; succeeds if there is none.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn remove(&self, location: &Location) -> Result<(), StorageError> {
        let file = self.file(location)?;
        match tokio::fs::remove_file(&file).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
        remove_empty_folders(&self.root, &file);
        Ok(())
    }

    /// Deletes an output, unless it was written anew: it has another size, or was modified later
    /// than `before`, the time when its job was completed.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn remove_output(
        &self,
        location: &Location,
        size: u64,
        before: Option<Timestamp>,
    ) -> Result<(), StorageError> {
        let Some(stat) = self.stat(location).await? else { return Ok(()) };
        let written = stat.modified.duration_since(UNIX_EPOCH).unwrap_or_default();
        let written =
            Timestamp::from_millis(u64::try_from(written.as_millis()).unwrap_or(u64::MAX));
        let is_later = before.is_some_and(|before| written > before.plus(MAX_CLOCK_SKEW));
        if stat.size != size || is_later {
            return Ok(());
        }
        self.remove(location).await
    }

    /// The uploads of all tenants that were received before a time.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn uploads_before(
        &self,
        before: SystemTime,
    ) -> Result<Vec<(Tenant, UploadId)>, StorageError> {
        let mut old = Vec::new();
        for folder in fs::read_dir(&self.root)?.flatten() {
            let Some(tenant) = folder.file_name().to_str().and_then(|name| name.parse().ok())
            else {
                continue;
            };
            let tenant: Tenant = tenant;
            let uploads = fs::read_dir(folder.path().join(".uploads"));
            for upload in uploads.into_iter().flatten().flatten() {
                let received = upload.metadata().and_then(|meta| meta.modified());
                let id = upload.file_name().to_str().and_then(|name| name.parse().ok());
                if let (Ok(received), Some(id)) = (received, id)
                    && received < before
                {
                    old.push((tenant.clone(), id));
                }
            }
        }
        Ok(old)
    }

    /// Deletes partial uploads last written before a time, whose gateway died.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn drop_partial_uploads(&self, before: SystemTime) -> Result<(), StorageError> {
        for tenant in fs::read_dir(&self.root)?.flatten() {
            let uploads = fs::read_dir(tenant.path().join(".uploads"));
            for upload in uploads.into_iter().flatten().flatten() {
                let partial = upload.file_name().to_string_lossy().contains(PARTIAL_SEPARATOR);
                let changed = upload.metadata().and_then(|meta| meta.modified());
                if partial && changed.is_ok_and(|changed| changed < before) {
                    match fs::remove_file(upload.path()) {
                        Err(error) if error.kind() != io::ErrorKind::NotFound => {
                            return Err(error.into());
                        }
                        Ok(()) | Err(_) => {}
                    }
                }
            }
        }
        Ok(())
    }

    /// Deletes everything that belongs to one tenant.
    ///
    /// # Errors
    /// When the disk fails; some files may be deleted then.
    pub async fn erase(&self, tenant: &Tenant) -> Result<(), StorageError> {
        match tokio::fs::remove_dir_all(self.root.join(tenant.as_str())).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// The object's key in the store; `NotFound` for a location that is not in the store.
    pub(crate) fn key(location: &Location) -> Result<Key, StorageError> {
        let path = match location {
            Location::Upload(id) => format!(".uploads/{id}"),
            Location::Object { path, .. } => path.clone(),
            Location::Web(_) => return Err(StorageError::NotFound(location.shown())),
        };
        Key::parse(&path).map_err(|_| StorageError::NotFound(location.to_string()))
    }

    /// The path of the object's file.
    pub(crate) fn file(&self, location: &Location) -> Result<PathBuf, StorageError> {
        let key = Self::key(location)?;
        self.store.path_to_filesystem(&key).map_err(StorageError::unavailable)
    }

    /// Path and size of the object if it is a regular file: a link could point anywhere, and
    /// opening a pipe might block forever.
    async fn real_file(&self, location: &Location) -> Result<(PathBuf, u64), StorageError> {
        let file = self.file(location)?;
        match tokio::fs::symlink_metadata(&file).await {
            Ok(meta) if meta.is_file() => Ok((file, meta.len())),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            Ok(_) | Err(_) => Err(StorageError::NotFound(location.to_string())),
        }
    }

    /// True if a directory entry of any kind exists at the location.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn is_taken(&self, location: &Location) -> Result<bool, StorageError> {
        match tokio::fs::symlink_metadata(self.file(location)?).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Metadata of an object; none if it does not exist.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn stat(&self, location: &Location) -> Result<Option<Stat>, StorageError> {
        match tokio::fs::symlink_metadata(self.file(location)?).await {
            Ok(meta) if meta.is_file() => {
                Ok(Some(Stat { size: meta.len(), modified: meta.modified()? }))
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            Ok(_) | Err(_) => Ok(None),
        }
    }

    /// Size of an object in bytes.
    ///
    /// # Errors
    /// When it does not exist or cannot be reached.
    pub async fn size(&self, location: &Location) -> Result<u64, StorageError> {
        Ok(self.real_file(location).await?.1)
    }

    /// Reads an object, or a byte range of it.
    ///
    /// # Errors
    /// When it does not exist or cannot be reached.
    pub async fn read(
        &self,
        location: &Location,
        range: Option<Range<u64>>,
    ) -> Result<Reading, StorageError> {
        self.real_file(location).await?;
        let options = GetOptions::new().with_range(range.map(GetRange::Bounded));
        let result = self.store.get_opts(&Self::key(location)?, options).await;
        let result = result.map_err(|error| translate(error, location))?;
        Ok(Reading {
            size: result.meta.size,
            range: result.range.clone(),
            bytes: result.into_stream().map(|chunk| chunk.map_err(io::Error::from)).boxed(),
        })
    }

    /// Opens an object's file; it is resolved beneath the store without following links.
    ///
    /// # Errors
    /// When it does not exist, is not a regular file, or cannot be reached.
    pub async fn open_object(&self, location: &Location) -> Result<File, StorageError> {
        let (root, key) = (self.root.clone(), Self::key(location)?);
        let opened = tokio::task::spawn_blocking(move || {
            let beneath =
                ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
            // Opening a pipe might block forever.
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let file = openat2(File::open(root)?, key.as_ref(), flags, Mode::empty(), beneath)?;
            Ok::<File, io::Error>(File::from(file))
        });
        let missing = || StorageError::NotFound(location.to_string());
        match opened.await.map_err(StorageError::unavailable)? {
            Ok(file) if file.metadata()?.is_file() => Ok(file),
            Ok(_) => Err(missing()),
            // It is a link, or lies beneath one.
            Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
                Err(missing())
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                Err(missing())
            }
            Err(error) => Err(error.into()),
        }
    }
}

pub(crate) fn translate(error: object_store::Error, location: &Location) -> StorageError {
    match error {
        object_store::Error::NotFound { .. } => StorageError::NotFound(location.to_string()),
        other => StorageError::unavailable(other),
    }
}
