use std::fs;

/// Share of all job children together, in fifths of the machine's memory; those that only answer
/// questions get one fifth, and one remains for everything else on the machine.
const JOB_FIFTHS: u64 = 3;
/// Share of all question children together, in fifths of the machine's memory.
const QUESTION_FIFTHS: u64 = 1;
/// Minimum memory limit of a child in bytes.
const MIN_CHILD_MEMORY: u64 = 256 * 1024 * 1024;

/// Memory limit in bytes of each of `children` concurrent job children.
pub(crate) fn memory_of_jobs(children: usize) -> u64 {
    share(available(), JOB_FIFTHS, children)
}

/// Memory limit in bytes of each of `children` concurrent children that answer questions.
pub(crate) fn memory_of_questions(children: usize) -> u64 {
    share(available(), QUESTION_FIFTHS, children)
}

fn share(available: u64, fifths: u64, children: usize) -> u64 {
    let children = u64::try_from(children).unwrap_or(u64::MAX).max(1);
    (available.saturating_mul(fifths) / 5 / children).max(MIN_CHILD_MEMORY)
}

/// Bytes of memory available to this process: the machine's, or the lowest limit of its control
/// groups.
fn available() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total(&text));
    let group = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = groups(&group).into_iter().filter_map(|group| {
        fs::read_to_string(format!("/sys/fs/cgroup{group}/memory.max")).ok()?.trim().parse().ok()
    });
    limits.chain(machine).min().unwrap_or(MIN_CHILD_MEMORY)
}

/// The control group of this process (version 2) and its ancestors.
fn groups(cgroup: &str) -> Vec<&str> {
    let own = cgroup.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    let ends = own.char_indices().filter(|(_, character)| *character == '/').map(|(at, _)| at);
    let above = ends.filter_map(|end| own.get(..end));
    above.chain([own]).collect()
}

/// Total memory in bytes from `/proc/meminfo`.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1024 * 1024 * 1024;

    #[test]
    fn children_share_four_fifths_of_the_available_memory() {
        assert_eq!(share(20 * GIB, JOB_FIFTHS, 2), 6 * GIB);
        assert_eq!(share(20 * GIB, QUESTION_FIFTHS, 4), GIB);
        assert_eq!(share(GIB / 2, JOB_FIFTHS, 8), MIN_CHILD_MEMORY);
        assert_eq!(total("MemFree: 1 kB\nMemTotal:       2048 kB\n"), Some(2 * 1024 * 1024));
        assert_eq!(groups("0::/a/b.service\n"), ["", "/a", "/a/b.service"]);
        assert!(available() > MIN_CHILD_MEMORY);
    }
}
