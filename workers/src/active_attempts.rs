use std::{
    collections::BTreeSet,
    num::NonZero,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
};

/// The attempts that run here, by name.
#[derive(Debug, Default)]
pub(crate) struct ActiveAttempts(Mutex<BTreeSet<String>>);

impl ActiveAttempts {
    fn lock(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes one; false if it runs here already.
    pub(crate) fn begin(&self, name: &str) -> bool {
        self.lock().insert(name.to_owned())
    }

    pub(crate) fn end(&self, name: &str) {
        self.lock().remove(name);
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.lock().iter().cloned().collect()
    }

    /// Threads of a codec that begins now.
    pub(crate) fn threads(&self) -> u16 {
        share(self.lock().len(), thread::available_parallelism().map_or(1, NonZero::get))
    }
}

/// 0 leaves it to the codec: when every core has a job, more than one or two only get in each
/// other's way. On a large machine the last job of many is not to crawl.
const fn share(running: usize, cores: usize) -> u16 {
    match cores {
        _ if running < cores => 0,
        ..=4 => 1,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_has_the_machine_until_every_core_has_a_job() {
        assert_eq!([share(1, 2), share(2, 2), share(3, 2)], [0, 1, 1]);
        assert_eq!([share(15, 16), share(16, 16)], [0, 2]);
    }

    #[test]
    fn an_attempt_runs_once_and_counts_until_its_end() {
        let running = ActiveAttempts::default();
        assert!(running.begin("a.1"));
        assert!(!running.begin("a.1"));
        assert_eq!(running.names(), ["a.1"]);
        running.end("a.1");
        assert!(running.names().is_empty());
    }
}
