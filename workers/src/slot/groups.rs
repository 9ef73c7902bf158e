//! A control group for each child, where the group of this process was delegated to it (`Delegate=` of
//! a systemd unit): the kernel then bounds the memory and the processes of all that a child is.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use uuid::Uuid;

/// Where this process, and what it started itself, goes: a group that has processes of its own passes no
/// controller on.
const SERVICE: &str = "service";
/// What the names of the children's groups begin with.
const CHILD: &str = "child-";

/// The groups of one worker's children.
#[derive(Debug, Clone)]
pub(crate) struct Groups {
    folder: PathBuf,
}

/// The group of one child; removed once this is dropped, when the child must be gone.
#[derive(Debug)]
pub(crate) struct SlotGroup {
    folder: PathBuf,
}

/// What one child may have at the most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GroupLimits {
    /// Bytes of memory; nothing of it is swapped out.
    pub(crate) memory: u64,
    /// Processes and threads.
    pub(crate) processes: u64,
}

impl Groups {
    /// Below the group of this process; none where that was not delegated to it.
    pub(crate) fn delegated() -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let group = fs::read_to_string("/proc/self/cgroup").ok()?;
        let folder = own(&mounts, &group).filter(|folder| is_delegated(folder))?;
        match Self::prepare(folder) {
            Ok(groups) => Some(groups),
            Err(error) => {
                tracing::warn!(%error, "the delegated control group cannot be used: the memory of media children is watched instead");
                None
            }
        }
    }

    fn prepare(folder: PathBuf) -> io::Result<Self> {
        let service = folder.join(SERVICE);
        fs::create_dir_all(&service)?;
        for process in fs::read_to_string(folder.join("cgroup.procs"))?.lines() {
            match fs::write(service.join("cgroup.procs"), process) {
                // It ended meanwhile.
                Err(error) if error.raw_os_error() == Some(nix::libc::ESRCH) => {}
                moved => moved?,
            }
        }
        let offered = fs::read_to_string(folder.join("cgroup.controllers"))?;
        for controller in ["memory", "pids"] {
            if offered.split_ascii_whitespace().any(|name| name == controller) {
                fs::write(folder.join("cgroup.subtree_control"), format!("+{controller}"))?;
            }
        }
        // What a worker left that died; a group with processes stays.
        for entry in fs::read_dir(&folder)?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(CHILD) {
                let _ = fs::remove_dir(entry.path());
            }
        }
        Ok(Self { folder })
    }

    /// An empty group.
    ///
    /// # Errors
    /// When it cannot be made, or a limit that the kernel offers cannot be set.
    pub(crate) fn make(&self, limits: GroupLimits) -> io::Result<SlotGroup> {
        let name = format!("{CHILD}{}", Uuid::now_v7().simple());
        let group = SlotGroup { folder: self.folder.join(name) };
        fs::create_dir(&group.folder)?;
        for (file, value) in [
            ("memory.max", limits.memory),
            ("memory.swap.max", 0),
            ("memory.oom.group", 1),
            ("pids.max", limits.processes),
        ] {
            let file = group.folder.join(file);
            // Not there where the controller is not passed on: then the watchdog bounds it.
            if file.exists() {
                fs::write(file, value.to_string())?;
            }
        }
        Ok(group)
    }
}

impl SlotGroup {
    /// Moves a process into the group, with all that it starts from now on.
    pub(crate) fn add(&self, process: u32) -> io::Result<()> {
        fs::write(self.folder.join("cgroup.procs"), process.to_string())
    }

    /// True if the kernel killed something in it for its limit of memory; false where that controller is
    /// not passed on.
    pub(crate) fn ran_out_of_memory(&self) -> bool {
        let events = fs::read_to_string(self.folder.join("memory.events"));
        events.is_ok_and(|events| has_oom_kills(&events))
    }
}

fn has_oom_kills(events: &str) -> bool {
    let kills = events.lines().find_map(|line| line.strip_prefix("oom_kill "));
    kills.is_some_and(|kills| kills.trim() != "0")
}

impl Drop for SlotGroup {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.folder) {
            tracing::warn!(%error, group = %self.folder.display(), "a control group cannot be removed");
        }
    }
}

/// The folder of this process' group in the hierarchy of version 2.
fn own(mountinfo: &str, cgroup: &str) -> Option<PathBuf> {
    let group = cgroup.lines().find_map(|line| line.strip_prefix("0::"))?;
    let mount = mountinfo
        .lines()
        .find(|line| line.split_once(" - ").is_some_and(|(_, of)| of.starts_with("cgroup2 ")))?;
    let mut fields = mount.split_ascii_whitespace().skip(3);
    let (root, at) = (fields.next()?, fields.next()?);
    let below = Path::new(group).strip_prefix(root).ok()?;
    Some(Path::new(at).join(below))
}

/// True of a group that systemd gave to the service for groups of its own.
fn is_delegated(folder: &Path) -> bool {
    ["trusted.delegate", "user.delegate"].into_iter().any(|name| {
        let mut value = [0; 1];
        rustix::fs::getxattr(folder, name, &mut value).is_ok_and(|size| size == 1 && value == *b"1")
    })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_own_group_is_found_where_the_hierarchy_is_mounted() {
        let mounts = "24 1 0:21 / /proc rw - proc proc rw\n\
            30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n";
        let group = "1:name=systemd:/x\n0::/system.slice/ffapi.service\n";
        let found = own(mounts, group).unwrap();
        assert_eq!(found, Path::new("/sys/fs/cgroup/system.slice/ffapi.service"));
        assert_eq!(own(mounts, "0::/\n").unwrap(), Path::new("/sys/fs/cgroup"));
        // In a container the hierarchy begins at its own group.
        let mounts = "30 24 0:26 /docker/a /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
        assert_eq!(own(mounts, "0::/docker/a/b\n").unwrap(), Path::new("/sys/fs/cgroup/b"));
        assert_eq!(own(mounts, "0::/else\n"), None);
        assert_eq!(own("", "0::/\n"), None);
    }

    #[test]
    fn a_kill_for_want_of_memory_is_told_from_others() {
        let events = |kills| format!("low 0\nmax 31\noom 2\noom_kill {kills}\noom_group_kill 0\n");
        assert!(has_oom_kills(&events(1)) && !has_oom_kills(&events(0)));
        assert!(!has_oom_kills(""));
    }

    /// Needs root and the hierarchy of version 2, and says so where they are missing.
    #[test]
    fn a_child_is_in_a_group_of_its_own_that_goes_with_it() {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let root = own(&mounts, "0::/\n").filter(|_| nix::unistd::geteuid().is_root());
        let folder = root.map(|root| root.join(format!("ffapi-test-{}", std::process::id())));
        let Some(folder) = folder.filter(|folder| fs::create_dir(folder).is_ok()) else {
            #[expect(clippy::print_stderr, reason = "a test that could not be made")]
            {
                eprintln!("no control groups can be made here: not tested");
            }
            return;
        };
        assert!(!is_delegated(&folder));
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(&folder, "trusted.delegate", b"1", flags).unwrap();
        assert!(is_delegated(&folder));

        let mut service = Command::new("sleep").arg("60").spawn().unwrap();
        fs::write(folder.join("cgroup.procs"), service.id().to_string()).unwrap();
        fs::create_dir(folder.join("child-of-a-dead-worker")).unwrap();
        let groups = Groups::prepare(folder.clone()).unwrap();
        assert!(!folder.join("child-of-a-dead-worker").exists());
        let in_group =
            |process: u32| fs::read_to_string(format!("/proc/{process}/cgroup")).unwrap();
        assert!(in_group(service.id()).contains("/service\n"));

        let group = groups.make(GroupLimits { memory: 1 << 30, processes: 100 }).unwrap();
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        group.add(child.id()).unwrap();
        assert!(!group.ran_out_of_memory());
        let own = group.folder.clone();
        let name = own.file_name().unwrap().to_string_lossy().into_owned();
        assert!(in_group(child.id()).contains(&name), "{}", in_group(child.id()));
        let limit = fs::read_to_string(own.join("memory.max")).ok();
        assert!(limit.is_none_or(|limit| limit.trim() == (1_u64 << 30).to_string()));
        for process in [&mut child, &mut service] {
            process.kill().unwrap();
            process.wait().unwrap();
        }
        drop(group);
        assert!(!own.exists());
        fs::remove_dir(folder.join(SERVICE)).unwrap();
        fs::remove_dir(folder).unwrap();
    }
}
