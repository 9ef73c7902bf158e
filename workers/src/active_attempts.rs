use std::{
    collections::BTreeSet,
    num::NonZero,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
};

/// The attempts that run in this worker, by name (`job.attempt`).
#[derive(Debug, Default)]
pub(crate) struct ActiveAttempts(Mutex<BTreeSet<String>>);

impl ActiveAttempts {
    fn lock(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers an attempt; false if it runs here already.
    pub(crate) fn begin(&self, name: &str) -> bool {
        self.lock().insert(name.to_owned())
    }

    pub(crate) fn end(&self, name: &str) {
        self.lock().remove(name);
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.lock().iter().cloned().collect()
    }

    /// How many threads a codec that starts now should use; 0 lets the codec choose.
    pub(crate) fn threads(&self) -> u16 {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        threads_per_codec(self.lock().len(), cores)
    }
}

/// 0 lets the codec choose. Once every core has a job, more than one or two threads per codec only
/// compete; large machines get two, so that the last of many jobs is not slow.
const fn threads_per_codec(running: usize, cores: usize) -> u16 {
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
    fn codecs_choose_their_threads_until_every_core_has_a_job() {
        let threads = threads_per_codec;
        assert_eq!([threads(1, 2), threads(2, 2), threads(3, 2)], [0, 1, 1]);
        assert_eq!([threads(15, 16), threads(16, 16)], [0, 2]);
    }

    #[test]
    fn an_attempt_is_registered_once_until_it_ends() {
        let attempts = ActiveAttempts::default();
        assert!(attempts.begin("a.1"));
        assert!(!attempts.begin("a.1"));
        assert_eq!(attempts.names(), ["a.1"]);
        attempts.end("a.1");
        assert!(attempts.names().is_empty());
    }
}
