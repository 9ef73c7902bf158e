use std::hash::{DefaultHasher, Hash, Hasher};

use tokio::sync::{Mutex, MutexGuard};

/// Per-process locks that serialise writers to one aggregate once they have conflicted: otherwise
/// most of many concurrent writers would only produce conflicts for each other.
#[derive(Debug)]
pub(crate) struct WriteLocks {
    /// Each aggregate maps to one of these; several aggregates may share a lock.
    locks: Vec<Mutex<()>>,
}

const LOCK_COUNT: u64 = 256;

impl WriteLocks {
    pub(crate) fn new() -> Self {
        Self { locks: (0..LOCK_COUNT).map(|_| Mutex::new(())).collect() }
    }

    /// Acquires the lock for a subject.
    pub(crate) async fn lock(&self, subject: &str) -> Option<MutexGuard<'_, ()>> {
        let mut hasher = DefaultHasher::new();
        subject.hash(&mut hasher);
        let index = usize::try_from(hasher.finish() % LOCK_COUNT).ok()?;
        Some(self.locks.get(index)?.lock().await)
    }
}
