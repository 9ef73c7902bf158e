use std::{fs, time::Duration};

/// What a child uses, as the kernel counts it: nothing that it says itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Processor time of all its threads.
    pub(crate) cpu: Duration,
    /// Bytes of memory that it has now.
    pub(crate) memory: u64,
    /// Bytes that it has read and written so far: it also works while no media time passes, moving the
    /// index to the front or reading its output back.
    pub(crate) moved: u64,
}

impl Usage {
    /// Of a process that is not reaped yet; nothing of one that is.
    pub(crate) fn of(process: u32) -> Self {
        let read = |name: &str| fs::read_to_string(format!("/proc/{process}/{name}"));
        let memory = read("statm").ok().and_then(|statm| pages(&statm)).unwrap_or(0);
        Self {
            cpu: read("stat").ok().and_then(|stat| ticks(&stat)).map_or(Duration::ZERO, of_ticks),
            memory: memory.saturating_mul(rustix::param::page_size() as u64),
            moved: read("io").map_or(0, |io| moved(&io)),
        }
    }
}

fn of_ticks(ticks: u64) -> Duration {
    let each = rustix::param::clock_ticks_per_second().max(1);
    Duration::from_millis(ticks.saturating_mul(1_000) / each)
}

/// User and system time: the 14th and the 15th field. The 2nd, the program's name, may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_ascii_whitespace().skip(11);
    let mut next = || times.next()?.parse::<u64>().ok();
    next()?.checked_add(next()?)
}

/// Resident pages: the 2nd field.
fn pages(statm: &str) -> Option<u64> {
    statm.split_ascii_whitespace().nth(1)?.parse().ok()
}

fn moved(io: &str) -> u64 {
    let counters = io.lines().filter(|line| line.starts_with("rchar") || line.starts_with("wchar"));
    counters.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_figures_are_read_whatever_a_process_calls_itself() {
        let stat = "42 (a) b 1 2 3) S 1 42 42 0 -1 4 1 2 3 4 700 50 9 9 39 19 1 0 5 6 7";
        assert_eq!(ticks(stat), Some(750));
        assert_eq!(pages("1000 200 30 4 0 5 0"), Some(200));
        assert_eq!(moved("rchar: 5\nwchar: 7\nsyscr: 9\nread_bytes: 11\n"), 12);
    }

    #[test]
    fn a_process_that_is_there_uses_something_and_one_that_is_not_uses_nothing() {
        let own = Usage::of(std::process::id());
        assert!(own.memory > 1_000_000 && own.moved > 0, "{own:?}");
        assert_eq!(Usage::of(u32::MAX), Usage::default());
    }
}
