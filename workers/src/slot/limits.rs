use std::fs;

/// What the children of jobs have together, in fifths of the machine's memory; those that only answer
/// questions have one, and one is left to everything else on the machine.
const JOBS: u64 = 3;
const QUESTIONS: u64 = 1;
/// The least that any work takes.
const LEAST: u64 = 256 * 1024 * 1024;

/// Bytes of memory that each of so many jobs' children may have at once, of what this process may use.
pub(crate) fn memory_of_jobs(children: usize) -> u64 {
    share(available(), JOBS, children)
}

/// The same of children that answer questions.
pub(crate) fn memory_of_questions(children: usize) -> u64 {
    share(available(), QUESTIONS, children)
}

fn share(available: u64, fifths: u64, children: usize) -> u64 {
    let children = u64::try_from(children).unwrap_or(u64::MAX).max(1);
    (available.saturating_mul(fifths) / 5 / children).max(LEAST)
}

/// The machine's memory, or less where a control group has less.
fn available() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total(&text));
    let group = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = groups(&group).into_iter().filter_map(|group| {
        fs::read_to_string(format!("/sys/fs/cgroup{group}/memory.max")).ok()?.trim().parse().ok()
    });
    limits.chain(machine).min().unwrap_or(LEAST)
}

/// The control group of this process (version 2), and those above it.
fn groups(cgroup: &str) -> Vec<&str> {
    let own = cgroup.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    let ends = own.char_indices().filter(|(_, character)| *character == '/').map(|(at, _)| at);
    let above = ends.filter_map(|end| own.get(..end));
    above.chain([own]).collect()
}

fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1024 * 1024 * 1024;

    #[test]
    fn children_share_four_fifths_of_what_there_is() {
        assert_eq!(share(20 * GIB, JOBS, 2), 6 * GIB);
        assert_eq!(share(20 * GIB, QUESTIONS, 4), GIB);
        assert_eq!(share(GIB / 2, JOBS, 8), LEAST);
        assert_eq!(total("MemFree: 1 kB\nMemTotal:       2048 kB\n"), Some(2 * 1024 * 1024));
        assert_eq!(groups("0::/a/b.service\n"), ["", "/a", "/a/b.service"]);
        assert!(available() > LEAST);
    }
}
