use std::{
    fs::{DirBuilder, File, Permissions},
    io,
    ops::Range,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use bytes::Bytes;
use ffapi_domain::{Tenant, UploadId, location::Location};
use futures::{StreamExt, stream::BoxStream};
use object_store::{GetOptions, GetRange, ObjectStore, local::LocalFileSystem, path::Path as Key};
use rustix::{
    fs::{Mode, OFlags, ResolveFlags, openat2},
    io::Errno,
};

use crate::StorageError;

/// What stands between the name of an object and a number while it is being written.
const PARTIAL: char = '#';

/// The store of one folder.
#[derive(Debug, Clone)]
pub struct Storage {
    pub(crate) root: PathBuf,
    pub(crate) store: Arc<LocalFileSystem>,
}

/// What is known of an object without reading it.
#[derive(Debug, Clone, Copy)]
pub struct Stat {
    /// Bytes.
    pub size: u64,
    /// When it was written last.
    pub modified: SystemTime,
}

/// An opened object.
pub struct Reading {
    /// Bytes of the whole object.
    pub size: u64,
    /// What is read of it.
    pub range: Range<u64>,
    /// The bytes.
    pub bytes: BoxStream<'static, io::Result<Bytes>>,
}

impl std::fmt::Debug for Reading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reading({:?} of {})", self.range, self.size)
    }
}

impl Storage {
    /// Opens the store in a folder, making it if needed. Nobody but its owner may enter it: gateways and
    /// workers that share one have the same user.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub fn open(root: &Path) -> Result<Self, StorageError> {
        DirBuilder::new().recursive(true).mode(0o700).create(root)?;
        let root = root.canonicalize()?;
        if root.metadata()?.permissions().mode() & 0o077 != 0 {
            // Only its owner can; somebody else's is as its owner wants it.
            let _ = std::fs::set_permissions(&root, Permissions::from_mode(0o700));
        }
        let store = LocalFileSystem::new_with_prefix(&root)
            .map_err(StorageError::unavailable)?
            .with_fsync(true);
        Ok(Self { root, store: Arc::new(store) })
    }

    /// The part of the store that belongs to one tenant: nobody's path leads into another's.
    ///
    /// # Errors
    /// When its folder cannot be made.
    pub fn of(&self, tenant: &Tenant) -> Result<Self, StorageError> {
        Self::open(&self.root.join(tenant.as_str()))
    }

    /// True if its folder is there and can be written to.
    pub async fn answers(&self) -> bool {
        tokio::fs::write(self.root.join(".answers"), b"").await.is_ok()
    }

    /// Removes an object; there may be none.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn remove(&self, location: &Location) -> Result<(), StorageError> {
        match tokio::fs::remove_file(self.file(location)?).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// The uploads of every tenant that came before a moment.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn old_uploads(&self, before: SystemTime) -> Result<Vec<(Tenant, UploadId)>, StorageError> {
        let mut old = Vec::new();
        for folder in std::fs::read_dir(&self.root)?.flatten() {
            let Some(tenant) = folder.file_name().to_str().and_then(|name| name.parse().ok())
            else {
                continue;
            };
            let tenant: Tenant = tenant;
            let uploads = std::fs::read_dir(folder.path().join(".uploads"));
            for upload in uploads.into_iter().flatten().flatten() {
                let came = upload.metadata().and_then(|meta| meta.modified());
                let id = upload.file_name().to_str().and_then(|name| name.parse().ok());
                if let (Ok(came), Some(id)) = (came, id)
                    && came < before
                {
                    old.push((tenant.clone(), id));
                }
            }
        }
        Ok(old)
    }

    /// Removes what is left of uploads that broke off before a moment, whose gateway died.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn drop_partial_uploads(&self, before: SystemTime) -> Result<(), StorageError> {
        for tenant in std::fs::read_dir(&self.root)?.flatten() {
            let uploads = std::fs::read_dir(tenant.path().join(".uploads"));
            for upload in uploads.into_iter().flatten().flatten() {
                let partial = upload.file_name().to_string_lossy().contains(PARTIAL);
                let changed = upload.metadata().and_then(|meta| meta.modified());
                if partial && changed.is_ok_and(|changed| changed < before) {
                    match std::fs::remove_file(upload.path()) {
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

    /// Removes everything that belongs to one tenant.
    ///
    /// # Errors
    /// When the disk fails; then some of it may be gone.
    pub async fn erase(&self, tenant: &Tenant) -> Result<(), StorageError> {
        match tokio::fs::remove_dir_all(self.root.join(tenant.as_str())).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// The object's key in the store.
    pub(crate) fn key(location: &Location) -> Result<Key, StorageError> {
        let path = match location {
            Location::Upload(id) => format!(".uploads/{id}"),
            Location::Object { path, .. } => path.clone(),
            Location::Web(_) => return Err(StorageError::NotFound(location.shown())),
        };
        Key::parse(&path).map_err(|_| StorageError::NotFound(location.to_string()))
    }

    /// The object's file.
    pub(crate) fn file(&self, location: &Location) -> Result<PathBuf, StorageError> {
        let key = Self::key(location)?;
        self.store.path_to_filesystem(&key).map_err(StorageError::unavailable)
    }

    /// The object's file, if it is one: a link inside the store could point anywhere, and opening
    /// a pipe might never end.
    async fn real_file(&self, location: &Location) -> Result<(PathBuf, u64), StorageError> {
        let file = self.file(location)?;
        match tokio::fs::symlink_metadata(&file).await {
            Ok(meta) if meta.is_file() => Ok((file, meta.len())),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            Ok(_) | Err(_) => Err(StorageError::NotFound(location.to_string())),
        }
    }

    /// True if something stands under a name already, whatever it is.
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

    /// What is known of an object without reading it; none where there is none.
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

    /// Bytes of an object.
    ///
    /// # Errors
    /// When it does not exist or cannot be reached.
    pub async fn size(&self, location: &Location) -> Result<u64, StorageError> {
        Ok(self.real_file(location).await?.1)
    }

    /// Reads an object, or a part of it.
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
        let got = self.store.get_opts(&Self::key(location)?, options).await;
        let got = got.map_err(|error| translate(error, location))?;
        Ok(Reading {
            size: got.meta.size,
            range: got.range.clone(),
            bytes: got.into_stream().map(|chunk| chunk.map_err(io::Error::from)).boxed(),
        })
    }

    /// Opens an object for whoever reads all of it: found beneath the store, and no link on the way.
    ///
    /// # Errors
    /// When it does not exist, is no file, or cannot be reached.
    pub async fn open_object(&self, location: &Location) -> Result<File, StorageError> {
        let (root, key) = (self.root.clone(), Self::key(location)?);
        let opened = tokio::task::spawn_blocking(move || {
            let beneath =
                ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
            // Opening a pipe might never end.
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let file = openat2(File::open(root)?, key.as_ref(), flags, Mode::empty(), beneath)?;
            Ok::<File, io::Error>(File::from(file))
        });
        let missing = || StorageError::NotFound(location.to_string());
        match opened.await.map_err(StorageError::unavailable)? {
            Ok(file) if file.metadata()?.is_file() => Ok(file),
            Ok(_) => Err(missing()),
            // What is there is a link, or stands beneath one.
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
