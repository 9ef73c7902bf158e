//! The folder of one child: what it may write, and how its worker takes from it without believing it.

use std::{
    fs::File,
    io,
    os::{
        fd::AsFd,
        unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown},
    },
    path::{Path, PathBuf},
};

use ffapi_media::protocol::SCRATCH;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, mkdirat, openat2, statat};

use super::removal::remove_tree;

/// A slot's folder: `in/` for what is fetched for the child, `out/` for what it makes.
#[derive(Debug)]
pub(crate) struct SlotFolder {
    path: PathBuf,
    /// `out/`, opened before the child was started.
    out: File,
    /// The child's user; none if it is ours.
    owner: Option<u32>,
    /// Folders in `out/`: all that there are, for a child makes none.
    folders: Vec<String>,
}

/// Folders that one child is made, over all that it asks for.
const FOLDERS: usize = 65;

/// What a child has put into its folders.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Load {
    /// Bytes that its files take on the disk, or say that they have if that is more: a hole is read, hashed
    /// and served like anything else.
    pub(crate) bytes: u64,
    /// Files and whatever else has a name.
    pub(crate) entries: u64,
}

impl SlotFolder {
    /// Makes the folder of a child that has this user.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) fn make(path: PathBuf, owner: Option<u32>) -> io::Result<Self> {
        let mut builder = std::fs::DirBuilder::new();
        builder.mode(0o700).create(&path)?;
        // The child begins its life here, and is told no other name: to go through is enough.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o711))?;
        builder.create(path.join("in"))?;
        let out = path.join("out");
        builder.create(&out)?;
        chown(&out, owner, owner)?;
        let mut folder = Self { out: File::open(&out)?, path, owner, folders: vec![] };
        folder.add(SCRATCH)?;
        Ok(folder)
    }

    /// The folder itself.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where an input is fetched to that is not in the store.
    pub(crate) fn fetched(&self, number: usize) -> PathBuf {
        self.path.join("in").join(number.to_string())
    }

    /// Makes a folder in `out/`.
    ///
    /// # Errors
    /// When the disk fails, it is there already, or there are too many.
    pub(crate) fn add(&mut self, name: &str) -> io::Result<()> {
        if self.folders.len() >= FOLDERS {
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

    /// Opens a file that a child made: found beneath `out/` whatever its name says, no link, the child's
    /// own and nobody else's.
    ///
    /// # Errors
    /// When there is no such file, or it is anything else.
    pub(crate) fn open_made(&self, name: &str) -> io::Result<File> {
        let beneath =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        // Opening a pipe or a device might never end.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(openat2(&self.out, name, flags, Mode::empty(), beneath)?);
        let meta = file.metadata()?;
        let owner = self.owner.unwrap_or_else(|| rustix::process::geteuid().as_raw());
        if !meta.is_file() || meta.nlink() != 1 || meta.uid() != owner {
            return Err(io::Error::other("what the media process made is no file of its own"));
        }
        Ok(file)
    }

    /// What is in `out/` now.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) async fn load(&self) -> io::Result<Load> {
        let (out, folders) = (self.out.try_clone()?, self.folders.clone());
        let count = move || {
            let mut load = Load::default();
            load.count(&out)?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            for name in &folders {
                let folder = rustix::fs::openat(&out, name, flags, Mode::empty())?;
                load.count(&folder)?;
            }
            Ok(load)
        };
        tokio::task::spawn_blocking(count).await.map_err(io::Error::other)?
    }

    /// Removes the folder and everything in it.
    pub(crate) async fn remove(self) {
        let removed = tokio::task::spawn_blocking(move || remove_tree(&self.path)).await;
        if let Ok(Err(error)) = removed {
            tracing::warn!(%error, "a slot's folder is not removed; the next start tries again");
        }
    }
}

impl Load {
    /// Entries that are counted: many more than any job makes.
    const MOST: u64 = 1_000_000;

    /// Adds what is in one folder.
    fn count(&mut self, folder: impl AsFd) -> io::Result<()> {
        for entry in Dir::read_from(&folder)? {
            let entry = entry?;
            self.entries = self.entries.saturating_add(1);
            if self.entries > Self::MOST {
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

    fn made() -> (tempfile::TempDir, SlotFolder, PathBuf) {
        let parent = tempfile::tempdir().unwrap();
        let mut folder = SlotFolder::make(parent.path().join("slot"), None).unwrap();
        folder.add("720p").unwrap();
        let out = parent.path().join("slot/out");
        (parent, folder, out)
    }

    #[test]
    fn what_a_child_made_is_opened_beneath_its_folder() {
        let (_parent, folder, out) = made();
        for name in ["a.mp4", "720p/00001.m4s"] {
            fs::write(out.join(name), name).unwrap();
            let mut text = String::new();
            folder.open_made(name).unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, name);
        }
    }

    #[test]
    fn nothing_else_is_opened_whatever_it_is_called() {
        let (parent, folder, out) = made();
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
    async fn what_a_child_wrote_is_added_up_over_its_folders() {
        let (_parent, folder, out) = made();
        let empty = folder.load().await.unwrap().entries;
        for name in ["a", "720p/b", ".scratch/c"] {
            fs::write(out.join(name), vec![1; 64 * 1024]).unwrap();
        }
        // Mostly hole.
        File::create(out.join("d")).unwrap().set_len(1 << 40).unwrap();
        let Load { bytes, entries } = folder.load().await.unwrap();
        assert_eq!((bytes, entries), (3 * 64 * 1024 + (1 << 40), empty + 4));
    }

    #[test]
    fn a_child_is_made_as_many_folders_as_a_plan_has_however_it_asks() {
        let (_parent, mut folder, _) = made();
        let made = (0..1_000).filter(|n| folder.add(&format!("f{n}")).is_ok()).count();
        assert_eq!(made + 2, FOLDERS);
    }
}
