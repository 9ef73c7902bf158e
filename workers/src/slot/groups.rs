//! A control group for each child, where this process's group was delegated to it (`Delegate=` in a
//! systemd unit): the kernel then limits a child's memory and processes.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use uuid::Uuid;

/// Subgroup for this process and its own helpers: a group that has processes itself cannot enable
/// controllers for its subgroups.
const SERVICE: &str = "service";
/// Prefix of the names of the children's groups.
const CHILD_PREFIX: &str = "child-";

/// The groups of one worker's children.
#[derive(Debug, Clone)]
pub(crate) struct Groups {
    folder: PathBuf,
}

/// The control group of one child; removed when this is dropped, after the child has ended.
#[derive(Debug)]
pub(crate) struct SlotGroup {
    folder: PathBuf,
}

/// The limits of one child.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GroupLimits {
    /// Memory in bytes; swap is disabled.
    pub(crate) memory: u64,
    /// Processes and threads.
    pub(crate) processes: u64,
}

impl Groups {
    /// Creates groups below this process's own; none where that was not delegated to it.
    pub(crate) fn delegated() -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let group = fs::read_to_string("/proc/self/cgroup").ok()?;
        let folder = own_group(&mounts, &group).filter(|folder| is_delegated(folder))?;
        match Self::prepare(folder) {
            Ok(groups) => Some(groups),
            Err(error) => {
                tracing::warn!(%error, "cannot use the delegated control group; memory is polled");
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
        // Left behind by a worker that died; a group with processes cannot be removed.
        for entry in fs::read_dir(&folder)?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(CHILD_PREFIX) {
                let _ = fs::remove_dir(entry.path());
            }
        }
        Ok(Self { folder })
    }

    /// Creates an empty group with these limits.
    ///
    /// # Errors
    /// When it cannot be created, or a limit that the kernel supports cannot be set.
    pub(crate) fn make(&self, limits: GroupLimits) -> io::Result<SlotGroup> {
        let name = format!("{CHILD_PREFIX}{}", Uuid::now_v7().simple());
        let group = SlotGroup { folder: self.folder.join(name) };
        fs::create_dir(&group.folder)?;
        for (file, value) in [
            ("memory.max", limits.memory),
            ("memory.swap.max", 0),
            ("memory.oom.group", 1),
            ("pids.max", limits.processes),
        ] {
            let file = group.folder.join(file);
            // Missing where the controller is not enabled: then the worker polls the usage.
            if file.exists() {
                fs::write(file, value.to_string())?;
            }
        }
        Ok(group)
    }
}

impl SlotGroup {
    /// Moves a process, and everything that it starts afterwards, into the group.
    pub(crate) fn add(&self, process: u32) -> io::Result<()> {
        fs::write(self.folder.join("cgroup.procs"), process.to_string())
    }

    /// True if the kernel killed a process of the group for its memory limit; false where that
    /// controller is not enabled.
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
            let group = self.folder.display();
            tracing::warn!(%error, %group, "a control group cannot be removed");
        }
    }
}

/// The folder of this process's group in the version 2 hierarchy.
fn own_group(mountinfo: &str, cgroup: &str) -> Option<PathBuf> {
    let group = cgroup.lines().find_map(|line| line.strip_prefix("0::"))?;
    let mount = mountinfo
        .lines()
        .find(|line| line.split_once(" - ").is_some_and(|(_, of)| of.starts_with("cgroup2 ")))?;
    let mut fields = mount.split_ascii_whitespace().skip(3);
    let (root, at) = (fields.next()?, fields.next()?);
    let below = Path::new(group).strip_prefix(root).ok()?;
    Some(Path::new(at).join(below))
}

/// True if systemd delegated the group to the service.
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
    fn the_process_group_is_found_where_the_hierarchy_is_mounted() {
        let mounts = "24 1 0:21 / /proc rw - proc proc rw\n\
            30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n";
        let group = "1:name=systemd:/x\n0::/system.slice/ffapi.service\n";
        let found = own_group(mounts, group).unwrap();
        assert_eq!(found, Path::new("/sys/fs/cgroup/system.slice/ffapi.service"));
        assert_eq!(own_group(mounts, "0::/\n").unwrap(), Path::new("/sys/fs/cgroup"));
        // In a container the hierarchy starts at the container's own group.
        let mounts = "30 24 0:26 /docker/a /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
        assert_eq!(own_group(mounts, "0::/docker/a/b\n").unwrap(), Path::new("/sys/fs/cgroup/b"));
        assert_eq!(own_group(mounts, "0::/else\n"), None);
        assert_eq!(own_group("", "0::/\n"), None);
    }

    #[test]
    fn oom_kills_are_distinguished_from_other_events() {
        let events = |kills| format!("low 0\nmax 31\noom 2\noom_kill {kills}\noom_group_kill 0\n");
        assert!(has_oom_kills(&events(1)) && !has_oom_kills(&events(0)));
        assert!(!has_oom_kills(""));
    }

    /// Needs root and the version 2 hierarchy; prints a note and passes where they are missing.
    #[test]
    fn a_child_gets_its_own_group_that_is_removed_with_it() {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let root = own_group(&mounts, "0::/\n").filter(|_| nix::unistd::geteuid().is_root());
        let folder = root.map(|root| root.join(format!("ffapi-test-{}", std::process::id())));
        let Some(folder) = folder.filter(|folder| fs::create_dir(folder).is_ok()) else {
            ffapi_embedded::report_skipped("control groups cannot be created here");
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
