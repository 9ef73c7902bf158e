use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, renameat, statat, unlinkat};
use uuid::Uuid;

/// Entries that one removal deletes at most; the rest is left to the next one.
const MAX_ENTRIES: u64 = 1_000_000;

/// Removes a folder with all of its contents, however deep: entries below the first level are moved
/// up first, so that neither the stack nor the number of descriptors grows. Links are not followed.
///
/// # Errors
/// When an entry cannot be removed, or there are more than `MAX_ENTRIES`.
pub(crate) fn remove_tree(path: &Path) -> io::Result<()> {
    let top = open(CWD, path)?;
    let mut remaining = MAX_ENTRIES;
    loop {
        let folders = clear(&top, &mut remaining)?;
        if folders.is_empty() {
            break;
        }
        for name in folders {
            let folder = open(&top, &name)?;
            for inner in clear(&folder, &mut remaining)? {
                renameat(&folder, &inner, &top, Uuid::now_v7().simple().to_string())?;
            }
            unlinkat(&top, &name, AtFlags::REMOVEDIR)?;
        }
    }
    drop(top);
    unlinkat(CWD, path, AtFlags::REMOVEDIR)?;
    Ok(())
}

fn open(at: impl AsFd, name: impl rustix::path::Arg) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(at, name, flags, Mode::empty())?)
}

/// Removes everything but folders from one folder; returns the names of the folders in it.
fn clear(folder: &OwnedFd, remaining: &mut u64) -> io::Result<Vec<std::ffi::CString>> {
    let mut folders = vec![];
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let too_many = || io::Error::other("the folder has too many entries");
        *remaining = remaining.checked_sub(1).ok_or_else(too_many)?;
        let stat = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(stat.st_mode).is_dir() {
            folders.push(name.to_owned());
        } else {
            unlinkat(folder, name, AtFlags::empty())?;
        }
    }
    Ok(folders)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink, thread};

    use rustix::fs::mkdirat;

    use super::*;

    #[test]
    fn a_folder_is_removed_with_its_contents_but_links_are_not_followed() {
        let parent = tempfile::tempdir().unwrap();
        let (tree, kept) = (parent.path().join("tree"), parent.path().join("kept"));
        fs::create_dir_all(tree.join("a/b/c")).unwrap();
        fs::create_dir_all(tree.join("d")).unwrap();
        fs::create_dir(&kept).unwrap();
        for file in [tree.join("x"), tree.join("a/b/y"), kept.join("z")] {
            fs::write(file, "").unwrap();
        }
        symlink(&kept, tree.join("a/link")).unwrap();
        remove_tree(&tree).unwrap();
        assert!(!tree.exists());
        assert!(kept.join("z").exists());
    }

    #[test]
    fn a_folder_that_is_deeper_than_any_stack_is_removed() {
        let parent = tempfile::tempdir().unwrap();
        let tree = parent.path().join("tree");
        fs::create_dir(&tree).unwrap();
        let mut at = open(CWD, &tree).unwrap();
        for _ in 0..20_000 {
            mkdirat(&at, "d", Mode::RWXU).unwrap();
            at = open(&at, "d").unwrap();
        }
        let small = thread::Builder::new().stack_size(128 * 1024);
        let removing = small.spawn(move || remove_tree(&tree)).unwrap();
        removing.join().unwrap().unwrap();
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }
}
