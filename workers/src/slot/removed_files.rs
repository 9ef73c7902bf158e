//! Files that a child has removed, or replaced by others, and still uses: no folder lists them, and they take
//! space until it ends.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs, io,
    os::{
        fd::{AsRawFd, BorrowedFd},
        unix::{ffi::OsStrExt, fs::MetadataExt},
    },
    path::{Path, PathBuf},
    sync::Once,
};

use super::tasks::tasks;

/// The end of the path of a file without a name, as the kernel shows it.
const DELETED: &[u8] = b" (deleted)";

/// What a process uses of the files that it removed from one folder.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct RemovedFiles {
    /// Sum over its open files of the allocated or the apparent size, whichever is larger, in bytes.
    pub(super) bytes: u64,
    /// True if one is mapped into its memory, where it stays without a descriptor, and with a size that
    /// cannot be read. No library that the engine uses maps a file that it writes.
    pub(super) mapped: bool,
}

impl RemovedFiles {
    /// The removed files of `folder`, or of folders in it, that a process uses; none once it has ended.
    /// Inputs are not among them, although a file of the store may be removed while a job reads it.
    ///
    /// # Errors
    /// When the path of the folder cannot be read.
    pub(super) fn of(process: u32, folder: BorrowedFd<'_>) -> io::Result<Self> {
        let path = fs::read_link(format!("/proc/self/fd/{}", folder.as_raw_fd()))?;
        let is_removed = |file: &OsStr| is_removed_from(&path, file);
        let mut open = BTreeMap::new();
        for task in tasks(process) {
            match descriptors(&task) {
                Ok(links) if links.is_empty() => continue,
                Ok(links) => {
                    for (at, _) in links.iter().filter(|(_, file)| is_removed(file.as_os_str())) {
                        let Ok(meta) = fs::metadata(at) else { continue };
                        if meta.is_file() && meta.nlink() == 0 {
                            let size = meta.size().max(meta.blocks().saturating_mul(512));
                            open.insert((meta.dev(), meta.ino()), size);
                        }
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => warn(&error),
                Err(_) => continue,
            }
            break;
        }
        let maps = tasks(process).filter_map(|task| fs::read(task.join("maps")).ok());
        let mapped = maps.into_iter().find(|maps| !maps.is_empty()).is_some_and(|maps| {
            let files = maps.split(|byte| *byte == b'\n').filter_map(mapped_file);
            files.map(OsStr::from_bytes).any(is_removed)
        });
        Ok(Self { bytes: open.values().fold(0, |sum, size| sum.saturating_add(*size)), mapped })
    }
}

/// Warns once that the descriptors of children cannot be read.
fn warn(error: &io::Error) {
    static WARNED: Once = Once::new();
    WARNED.call_once(|| {
        tracing::warn!(
            %error,
            "the open files of media children cannot be read (root needs CAP_SYS_PTRACE): files that they \
             remove are not counted"
        );
    });
}

/// The descriptors of a thread, each with the path of its file.
fn descriptors(task: &Path) -> io::Result<Vec<(PathBuf, PathBuf)>> {
    let mut links = Vec::new();
    for entry in task.join("fd").read_dir()? {
        let at = entry?.path();
        // It may have been closed meanwhile.
        if let Ok(file) = fs::read_link(&at) {
            links.push((at, file));
        }
    }
    Ok(links)
}

/// The path in a line of `/proc/<pid>/maps`, which follows five fields and spaces.
fn mapped_file(line: &[u8]) -> Option<&[u8]> {
    line.get(line.iter().position(|byte| *byte == b'/')?..)
}

fn is_removed_from(folder: &Path, file: &OsStr) -> bool {
    file.as_bytes().ends_with(DELETED) && Path::new(file).starts_with(folder)
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{File, OpenOptions},
        os::fd::AsFd,
        process::{Child, Command, Stdio},
    };

    use super::*;
    use crate::slot::tasks::tests::without_its_first_thread;

    fn removed(child: &Child, folder: &File) -> RemovedFiles {
        RemovedFiles::of(child.id(), folder.as_fd()).unwrap()
    }

    fn sleep(input: impl Into<Stdio>) -> Child {
        Command::new("sleep").arg("60").stdin(input).spawn().unwrap()
    }

    fn end(mut child: Child) {
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// A file of a folder that has been removed, open for reading and writing.
    fn file_removed_from(folder: &Path, size: u64) -> File {
        let path = folder.join("x");
        let file = OpenOptions::new().create_new(true).read(true).write(true).open(&path).unwrap();
        file.set_len(size).unwrap();
        fs::remove_file(path).unwrap();
        file
    }

    #[test]
    fn an_open_file_counts_once_it_has_no_name() {
        let parent = tempfile::tempdir().unwrap();
        let out = parent.path().join("out");
        fs::create_dir_all(out.join("720p")).unwrap();
        let folder = File::open(&out).unwrap();
        let child = sleep(file_removed_from(&out.join("720p"), 1 << 30));
        assert_eq!(removed(&child, &folder), RemovedFiles { bytes: 1 << 30, mapped: false });
        end(child);
        // Replaced by another.
        for name in ["a", "b"] {
            fs::write(out.join(name), vec![1; 64 * 1024]).unwrap();
        }
        let child = sleep(File::open(out.join("a")).unwrap());
        assert_eq!(removed(&child, &folder).bytes, 0, "its folder lists it");
        fs::rename(out.join("b"), out.join("a")).unwrap();
        assert_eq!(removed(&child, &folder).bytes, 64 * 1024);
        end(child);
        // An input that is removed from the store.
        let child = sleep(file_removed_from(parent.path(), 1 << 30));
        assert_eq!(removed(&child, &folder), RemovedFiles::default());
        end(child);
    }

    #[test]
    fn a_mapped_file_without_a_name_is_found() {
        let out = tempfile::tempdir().unwrap();
        let folder = File::open(out.path()).unwrap();
        let program = out.path().join("program");
        fs::copy("/bin/sleep", &program).unwrap();
        let child = Command::new(&program).arg("60").spawn().unwrap();
        // A process is reported as started before its program is mapped.
        let maps = || fs::read_to_string(format!("/proc/{}/maps", child.id())).unwrap();
        while !maps().contains(program.to_str().unwrap()) {
            std::thread::yield_now();
        }
        assert!(!removed(&child, &folder).mapped);
        fs::remove_file(program).unwrap();
        assert!(removed(&child, &folder).mapped);
        end(child);
    }

    #[test]
    fn a_process_whose_first_thread_has_ended_hides_nothing() {
        let out = tempfile::tempdir().unwrap();
        let folder = File::open(out.path()).unwrap();
        let child = without_its_first_thread(file_removed_from(out.path(), 1 << 30).into());
        assert_eq!(fs::read_dir(format!("/proc/{}/fd", child.id())).unwrap().count(), 0);
        assert_eq!(removed(&child, &folder).bytes, 1 << 30);
        end(child);
    }
}
