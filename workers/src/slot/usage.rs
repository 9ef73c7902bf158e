use std::{fs, time::Duration};

use super::tasks::tasks;

/// A child's resource usage as the kernel counts it, not as the child reports it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// CPU time of all its threads.
    pub(crate) cpu: Duration,
    /// Resident memory in bytes.
    pub(crate) memory: u64,
    /// Bytes read and written so far. They also grow while no media time passes, for example when
    /// the index is moved to the front or the output is read back.
    pub(crate) io_bytes: u64,
}

impl Usage {
    /// The usage of a process; zero once it has been reaped.
    pub(crate) fn of(process: u32) -> Self {
        let read = |name: &str| fs::read_to_string(format!("/proc/{process}/{name}"));
        let cpu = read("stat").ok().and_then(|stat| ticks(&stat));
        let statm = tasks(process).filter_map(|task| fs::read_to_string(task.join("statm")).ok());
        let memory = statm.filter_map(|statm| pages(&statm)).find(|pages| *pages > 0).unwrap_or(0);
        Self {
            cpu: cpu.map_or(Duration::ZERO, duration_of),
            memory: memory.saturating_mul(rustix::param::page_size() as u64),
            io_bytes: read("io").map_or(0, |io| io_bytes(&io)),
        }
    }
}

fn duration_of(ticks: u64) -> Duration {
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Duration::from_millis(ticks.saturating_mul(1_000) / per_second)
}

/// User plus system time in clock ticks: fields 14 and 15 of `/proc/<pid>/stat`. Field 2, the
/// program's name, may contain any character.
fn ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_ascii_whitespace().skip(11);
    let mut next = || times.next()?.parse::<u64>().ok();
    next()?.checked_add(next()?)
}

/// Resident pages: field 2 of `/proc/<pid>/statm`.
fn pages(statm: &str) -> Option<u64> {
    statm.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Sum of `rchar` and `wchar` in `/proc/<pid>/io`.
fn io_bytes(io: &str) -> u64 {
    let counters = io.lines().filter(|line| line.starts_with("rchar") || line.starts_with("wchar"));
    counters.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use super::*;
    use crate::slot::tasks::tests::without_its_first_thread;

    #[test]
    fn proc_files_are_parsed_whatever_the_process_name_contains() {
        let stat = "42 (a) b 1 2 3) S 1 42 42 0 -1 4 1 2 3 4 700 50 9 9 39 19 1 0 5 6 7";
        assert_eq!(ticks(stat), Some(750));
        assert_eq!(pages("1000 200 30 4 0 5 0"), Some(200));
        assert_eq!(io_bytes("rchar: 5\nwchar: 7\nsyscr: 9\nread_bytes: 11\n"), 12);
    }

    #[test]
    fn a_running_process_has_usage_and_a_missing_one_has_none() {
        let own = Usage::of(std::process::id());
        assert!(own.memory > 1_000_000 && own.io_bytes > 0, "{own:?}");
        assert_eq!(Usage::of(u32::MAX), Usage::default());
    }

    #[test]
    fn a_process_whose_first_thread_has_ended_has_memory() {
        let mut child = without_its_first_thread(Stdio::null());
        let used = Usage::of(child.id()).memory;
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(used > 1_000_000, "{used}");
    }
}
