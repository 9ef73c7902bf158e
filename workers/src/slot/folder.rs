//! The folder of one child: what the child may write to, and how its worker reads from it without
//! trusting its contents.

use std::{
    fs::File,
    io,
    os::{
        fd::AsFd,
        unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown},
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use ffapi_media::protocol::SCRATCH;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, mkdirat, openat2, statat};

use super::{removal::remove_tree, removed_files::RemovedFiles};

/// A slot's folder: `in/` for inputs downloaded for the child, `out/` for its outputs.
#[derive(Debug)]
pub(crate) struct SlotFolder {
    path: PathBuf,
    /// `out/`, opened before the child was started.
    out: Arc<File>,
    /// The child's user id; none if it runs as the worker's user.
    owner: Option<u32>,
    /// Subfolders of `out/`; complete, because a child cannot create any.
    folders: Vec<String>,
}

/// Subfolders that are created for one child at most.
const MAX_FOLDERS: usize = 65;

/// What a child has written to its folders.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct DiskUsage {
    /// Sum over the files of the allocated or the apparent size, whichever is larger, in bytes: a
    /// hole in a sparse file is read, hashed and served like data.
    pub(crate) bytes: u64,
    /// Directory entries of any kind.
    pub(crate) entries: u64,
    /// True if it has mapped a file into its memory that it removed: its size cannot be read.
    pub(crate) has_mapped_removed: bool,
}

/// Measures what a child has written.
#[derive(Debug, Clone)]
pub(crate) struct DiskMeter {
    out: Arc<File>,
    /// Subfolders of `out/`.
    folders: Arc<[String]>,
}

impl SlotFolder {
    /// Creates the folder of a child that runs as `owner`.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn make(path: PathBuf, owner: Option<u32>) -> io::Result<Self> {
        let mut builder = std::fs::DirBuilder::new();
        builder.mode(0o700).create(&path)?;
        // The child starts here and is given no other path: search permission is enough.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o711))?;
        builder.create(path.join("in"))?;
        let out = path.join("out");
        builder.create(&out)?;
        chown(&out, owner, owner)?;
        let mut folder = Self { out: File::open(&out)?.into(), path, owner, folders: vec![] };
        folder.add(SCRATCH)?;
        Ok(folder)
    }

    /// The folder itself.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The path that an input from the web is downloaded to.
    pub(crate) fn fetched(&self, number: usize) -> PathBuf {
        self.path.join("in").join(number.to_string())
    }

    /// Creates a subfolder of `out/`.
    ///
    /// # Errors
    /// When the disk fails, it exists already, or there are too many.
    pub(crate) fn add(&mut self, name: &str) -> io::Result<()> {
        if self.folders.len() >= MAX_FOLDERS {
            return Err(io::Error::other("it asks for more folders than any plan has"));
        }
        mkdirat(&self.out, name, Mode::RWXU)?;
        if let Some(owner) = self.owner {
            let (user, group) =
                (rustix::fs::Uid::from_raw(owner), rustix::fs::Gid::from_raw(owner));
            rustix::fs::chownat(
                &self.out,
                name,
                Some(user),
                Some(group),
                AtFlags::SYMLINK_NOFOLLOW,
            )?;
        }
        self.folders.push(name.to_owned());
        Ok(())
    }

    /// Opens a file that a child created. Whatever the name, the file must be beneath `out/`, owned
    /// by the child, and have no links.
    ///
    /// # Errors
    /// When there is no such file, or it is not a regular file of the child's.
    pub(crate) fn open_made(&self, name: &str) -> io::Result<File> {
        let beneath =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        // Opening a pipe or a device might never end.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(openat2(&self.out, name, flags, Mode::empty(), beneath)?);
        let meta = file.metadata()?;
        let owner = self.owner.unwrap_or_else(|| rustix::process::geteuid().as_raw());
        if !meta.is_file() || meta.nlink() != 1 || meta.uid() != owner {
            return Err(io::Error::other("it is not a regular file owned by the process"));
        }
        Ok(file)
    }

    /// The current disk usage of `out/`, including the files that a running child has removed and still
    /// uses.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) async fn disk_usage(&self, child: Option<u32>) -> io::Result<DiskUsage> {
        self.meter().usage(child).await
    }

    /// Measures the disk usage of the folders that `out/` has now.
    pub(crate) fn meter(&self) -> DiskMeter {
        DiskMeter { out: Arc::clone(&self.out), folders: self.folders.clone().into() }
    }

    /// Removes the folder and everything in it.
    pub(crate) async fn remove(self) {
        let removed = tokio::task::spawn_blocking(move || remove_tree(&self.path)).await;
        if let Ok(Err(error)) = removed {
            tracing::warn!(%error, "cannot remove a slot's folder; the next start retries");
        }
    }
}

impl DiskMeter {
    /// The current disk usage of the folders, including the files that a running child has removed and
    /// still uses.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) async fn usage(&self, child: Option<u32>) -> io::Result<DiskUsage> {
        let Self { out, folders } = self.clone();
        let count = move || {
            let mut usage = DiskUsage::default();
            usage.count(&*out)?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            for name in &*folders {
                let folder = rustix::fs::openat(&*out, name, flags, Mode::empty())?;
                usage.count(&folder)?;
            }
            if let Some(child) = child {
                let removed = RemovedFiles::of(child, out.as_fd())?;
                usage.bytes = usage.bytes.saturating_add(removed.bytes);
                usage.has_mapped_removed = removed.mapped;
            }
            Ok(usage)
        };
        tokio::task::spawn_blocking(count).await.map_err(io::Error::other)?
    }
}

impl DiskUsage {
    /// Counting stops here: far above the entries of any job.
    const MAX_ENTRIES: u64 = 1_000_000;

    /// Adds the contents of one folder.
    fn count(&mut self, folder: impl AsFd) -> io::Result<()> {
        for entry in Dir::read_from(&folder)? {
            let entry = entry?;
            self.entries = self.entries.saturating_add(1);
            if self.entries > Self::MAX_ENTRIES {
                break;
            }
            let Ok(stat) = statat(&folder, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) else {
                continue;
            };
            if FileType::from_raw_mode(stat.st_mode).is_file() {
                let blocks = u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512);
                let size = u64::try_from(stat.st_size).unwrap_or(0);
                self.bytes = self.bytes.saturating_add(blocks.max(size));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Read, os::unix::fs::symlink};

    use super::*;

    fn created() -> (tempfile::TempDir, SlotFolder, PathBuf) {
        let parent = tempfile::tempdir().unwrap();
        let mut folder = SlotFolder::make(parent.path().join("slot"), None).unwrap();
        folder.add("720p").unwrap();
        let out = parent.path().join("slot/out");
        (parent, folder, out)
    }

    #[test]
    fn files_of_a_child_are_opened_beneath_its_folder() {
        let (_parent, folder, out) = created();
        for name in ["a.mp4", "720p/00001.m4s"] {
            fs::write(out.join(name), name).unwrap();
            let mut text = String::new();
            folder.open_made(name).unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, name);
        }
    }

    #[test]
    fn nothing_but_regular_files_of_the_child_is_opened() {
        let (parent, folder, out) = created();
        let secret = parent.path().join("secret");
        fs::write(&secret, "secret").unwrap();
        symlink(&secret, out.join("link")).unwrap();
        symlink(parent.path(), out.join("up")).unwrap();
        symlink("/proc/self/root", out.join("magic")).unwrap();
        fs::hard_link(&secret, out.join("hard")).unwrap();
        rustix::fs::mknodat(&folder.out, "pipe", FileType::Fifo, Mode::RWXU, 0).unwrap();
        let absolute = secret.display().to_string();
        let names = [
            absolute.as_str(),
            "../../secret",
            "../in",
            "720p/../../../secret",
            "link",
            "up/secret",
            "magic/etc/passwd",
            "hard",
            "pipe",
            "720p",
            ".",
            "",
            "/proc/self/environ",
        ];
        for name in names {
            assert!(folder.open_made(name).is_err(), "{name:?}");
        }
    }

    #[tokio::test]
    async fn disk_usage_is_summed_over_all_folders() {
        let (_parent, folder, out) = created();
        let empty = folder.disk_usage(None).await.unwrap().entries;
        for name in ["a", "720p/b", ".scratch/c"] {
            fs::write(out.join(name), vec![1; 64 * 1024]).unwrap();
        }
        // A sparse file.
        File::create(out.join("d")).unwrap().set_len(1 << 40).unwrap();
        let DiskUsage { bytes, entries, .. } = folder.disk_usage(None).await.unwrap();
        assert_eq!((bytes, entries), (3 * 64 * 1024 + (1 << 40), empty + 4));
    }

    #[test]
    fn the_number_of_a_childs_folders_is_limited() {
        let (_parent, mut folder, _) = created();
        let made = (0..1_000).filter(|n| folder.add(&format!("f{n}")).is_ok()).count();
        assert_eq!(made + 2, MAX_FOLDERS);
    }
}
