//! A store in a local folder: a file gets its final name only once all of its bytes are on disk.

mod staging;

use std::{
    fs::{self, DirBuilder, File, Permissions},
    io,
    ops::Range,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use async_trait::async_trait;
use bytes::Bytes;
use ffapi_domain::media::Overwrite;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    GetOptions, GetRange, ObjectStore, ObjectStoreExt, local::LocalFileSystem, path::Path as Key,
};
use rustix::{
    fs::{Mode, OFlags, ResolveFlags, openat2},
    io::Errno,
};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    Download, Opened, Reading, Received, Stat, StorageError,
    backend::Backend,
    layout,
    object::{Entry, Object},
    receive::receive,
};

/// Separates the name of a file from a number while the file is being written.
const PARTIAL_SEPARATOR: char = '#';

/// A store in a local folder.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    root: PathBuf,
    store: Arc<LocalFileSystem>,
}

impl Folder {
    /// Opens the store in a folder, which is created if needed. Only the folder's owner may enter
    /// it: gateways and workers that share a store run as the same user.
    pub(crate) fn open(root: &Path) -> Result<Self, StorageError> {
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

    /// The folder as a store of objects by key.
    pub(crate) fn objects(self) -> Arc<dyn ObjectStore> {
        self.store
    }

    /// The path of an object's file.
    fn path(&self, object: &Object) -> Result<PathBuf, StorageError> {
        self.store.path_to_filesystem(&object.key).map_err(StorageError::unavailable)
    }

    /// The path of the folder of a prefix.
    fn folder(&self, prefix: &Key) -> PathBuf {
        self.root.join(prefix.as_ref())
    }
}

/// Runs blocking file operations.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
) -> Result<T, StorageError> {
    tokio::task::spawn_blocking(work).await.map_err(StorageError::unavailable)?
}

/// Success if the file does not exist.
fn unless_missing(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Removes the folders of a file that are empty, up to the root of the store. Internal folders stay,
/// because files may be written to them at this moment.
fn remove_empty_folders(root: &Path, file: &Path) {
    let is_internal =
        |folder: &&Path| folder.ends_with(layout::UPLOADS) || folder.ends_with(layout::STAGING);
    let folders = file.ancestors().skip(1);
    let folders = folders.take_while(|folder| *folder != root && !is_internal(folder));
    for folder in folders.filter(|folder| folder.starts_with(root)) {
        // Fails, as intended, for the first one that holds anything.
        if fs::remove_dir(folder).is_err() {
            return;
        }
    }
}

fn missing(object: &Object) -> StorageError {
    StorageError::NotFound(object.shown.clone())
}

#[async_trait]
impl Backend for Folder {
    async fn check(&self) -> Result<(), StorageError> {
        Ok(tokio::fs::write(self.root.join(".answers"), b"").await?)
    }

    /// Only regular files are objects: a link could point anywhere, and opening a pipe might block
    /// forever.
    async fn stat(&self, object: &Object) -> Result<Option<Stat>, StorageError> {
        match tokio::fs::symlink_metadata(self.path(object)?).await {
            Ok(meta) if meta.is_file() => {
                Ok(Some(Stat { size: meta.len(), modified: meta.modified()? }))
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            Ok(_) | Err(_) => Ok(None),
        }
    }

    async fn read(
        &self,
        object: &Object,
        range: Option<Range<u64>>,
    ) -> Result<Reading, StorageError> {
        self.stat(object).await?.ok_or_else(|| missing(object))?;
        let options = GetOptions::new().with_range(range.map(GetRange::Bounded));
        let result = self.store.get_opts(&object.key, options).await;
        let result = result.map_err(|error| match error {
            object_store::Error::NotFound { .. } => missing(object),
            other => StorageError::unavailable(other),
        })?;
        Ok(Reading {
            size: result.meta.size,
            range: result.range.clone(),
            bytes: result.into_stream().map(|chunk| chunk.map_err(io::Error::from)).boxed(),
        })
    }

    async fn download_url(
        &self,
        _object: &Object,
        _download: &Download<'_>,
    ) -> Result<Option<Url>, StorageError> {
        Ok(None)
    }

    /// Resolves the file beneath the store without following links.
    async fn open(&self, object: &Object) -> Result<Opened, StorageError> {
        let (root, key) = (self.root.clone(), object.key.clone());
        let opened = tokio::task::spawn_blocking(move || {
            let beneath =
                ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
            // Opening a pipe might block forever.
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let file = openat2(File::open(root)?, key.as_ref(), flags, Mode::empty(), beneath)?;
            Ok::<File, io::Error>(File::from(file))
        });
        match opened.await.map_err(StorageError::unavailable)? {
            Ok(file) if file.metadata()?.is_file() => Ok(Opened::File(file)),
            Ok(_) => Err(missing(object)),
            // It is a link, or lies beneath one.
            Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
                Err(missing(object))
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                Err(missing(object))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Also deletes the folders that are empty without the object.
    async fn remove(&self, object: &Object) -> Result<(), StorageError> {
        let file = self.path(object)?;
        unless_missing(tokio::fs::remove_file(&file).await)?;
        remove_empty_folders(&self.root, &file);
        Ok(())
    }

    async fn receive(
        &self,
        object: &Object,
        bytes: BoxStream<'_, io::Result<Bytes>>,
        max: u64,
    ) -> Result<Received, StorageError> {
        receive(&*self.store, &object.key, bytes, max).await
    }

    async fn rename(&self, from: &Object, to: &Object) -> Result<(), StorageError> {
        self.store.rename(&from.key, &to.key).await.map_err(StorageError::unavailable)
    }

    async fn check_free(&self, object: &Object, overwrite: Overwrite) -> Result<(), StorageError> {
        self.check_name(object, overwrite).await
    }

    async fn stage_contents(
        &self,
        staged: &Object,
        file: File,
        cancelled: CancellationToken,
    ) -> Result<Received, StorageError> {
        self.take(staged, file, cancelled).await
    }

    async fn stage(
        &self,
        staged: &Object,
        file: File,
        _to: &Object,
        cancelled: CancellationToken,
    ) -> Result<Received, StorageError> {
        self.take(staged, file, cancelled).await
    }

    async fn publish(
        &self,
        staged: &Object,
        to: &Object,
        sha256: &str,
        overwrite: Overwrite,
    ) -> Result<(), StorageError> {
        self.link(staged, to, sha256, overwrite).await
    }

    async fn withdraw(&self, staged: &Object, to: &Object) -> Result<(), StorageError> {
        self.unlink(staged, to).await
    }

    async fn discard(&self, prefix: &Key) -> Result<(), StorageError> {
        let folder = self.folder(prefix);
        unless_missing(tokio::fs::remove_dir_all(&folder).await)?;
        remove_empty_folders(&self.root, &folder);
        Ok(())
    }

    async fn drop_partial(&self, prefix: &Key, before: SystemTime) -> Result<(), StorageError> {
        let folder = self.folder(prefix);
        blocking(move || {
            for file in entries_of(&folder)? {
                let is_partial = file.file_name().to_string_lossy().contains(PARTIAL_SEPARATOR);
                let modified = file.metadata().and_then(|meta| meta.modified());
                if is_partial && modified.is_ok_and(|modified| modified < before) {
                    unless_missing(fs::remove_file(file.path()))?;
                }
            }
            Ok(())
        })
        .await
    }

    async fn folders(&self, prefix: &Key) -> Result<Vec<String>, StorageError> {
        let folder = self.folder(prefix);
        blocking(move || {
            let entries = entries_of(&folder)?;
            let folders = entries.filter(|entry| entry.file_type().is_ok_and(|it| it.is_dir()));
            Ok(folders.filter_map(|entry| entry.file_name().into_string().ok()).collect())
        })
        .await
    }

    fn objects(&self, prefix: &Key) -> BoxStream<'static, Result<(Key, u64), StorageError>> {
        let listed = self.store.list(Some(prefix));
        listed.map_ok(|meta| (meta.location, meta.size)).map_err(StorageError::of_store).boxed()
    }

    async fn entries(&self, prefix: &Key) -> Result<Vec<Entry>, StorageError> {
        let folder = self.folder(prefix);
        blocking(move || {
            let known = |entry: fs::DirEntry| {
                let meta = entry.metadata().ok()?;
                let (modified, size) = (meta.modified().ok()?, meta.len());
                Some(Entry { name: entry.file_name().into_string().ok()?, modified, size })
            };
            Ok(entries_of(&folder)?.filter_map(known).collect())
        })
        .await
    }
}

/// The entries of a folder; none if it does not exist.
fn entries_of(folder: &Path) -> io::Result<impl Iterator<Item = fs::DirEntry>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => Some(entries),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    Ok(entries.into_iter().flatten().flatten())
}
