use std::hash::{DefaultHasher, Hash, Hasher};

use tokio::sync::{Mutex, MutexGuard};

/// Writers of one process to one aggregate take turns once they have been in each other's way: else most
/// of many at once would only see each other's conflicts.
#[derive(Debug)]
pub(crate) struct Turns {
    /// An aggregate has one of these; others may have the same.
    locks: Vec<Mutex<()>>,
}

const LOCKS: u64 = 256;

impl Turns {
    pub(crate) fn new() -> Self {
        Self { locks: (0..LOCKS).map(|_| Mutex::new(())).collect() }
    }

    /// Waits for the turn to write to a subject.
    pub(crate) async fn take(&self, subject: &str) -> Option<MutexGuard<'_, ()>> {
        let mut hasher = DefaultHasher::new();
        subject.hash(&mut hasher);
        let lock = usize::try_from(hasher.finish() % LOCKS).ok()?;
        Some(self.locks.get(lock)?.lock().await)
    }
}
