//! A cache of rows of read models, invalidated by messages of the log.

use std::{
    hash::Hash,
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use lru::LruCache;

/// A row, and the sequence of the newest message folded into it.
type Row<V> = (Arc<V>, u64);

/// A cache of rows. A row is cached only if it is as new as the newest message received for its id,
/// and removed as soon as a newer one is received. So a cached row is never older than what this
/// gateway knows.
#[derive(Debug)]
pub(crate) struct RowCache<K: Hash + Eq, V> {
    entries: Mutex<Entries<K, V>>,
    hits: AtomicU64,
    misses: AtomicU64,
    /// Rows that were not cached, because a newer message had been received.
    stale: AtomicU64,
    open: AtomicBool,
}

#[derive(Debug)]
struct Entries<K: Hash + Eq, V> {
    rows: LruCache<K, Row<V>>,
    /// The sequence of the newest message received for each id.
    newest: LruCache<K, u64>,
}

/// Statistics of a cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CacheStats {
    pub(crate) entries: usize,
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) stale: u64,
}

const MAX_ROWS: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();
/// More than there are rows, so that a sequence is evicted later than the row that it would
/// invalidate.
const MAX_SEQUENCES: NonZeroUsize = NonZeroUsize::new(100_000).unwrap();

impl<K: Clone + Hash + Eq, V> RowCache<K, V> {
    pub(crate) fn new() -> Self {
        // Memory grows as they are filled.
        let entries =
            Entries { rows: LruCache::sparse(MAX_ROWS), newest: LruCache::sparse(MAX_SEQUENCES) };
        Self {
            entries: Mutex::new(entries),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            stale: AtomicU64::new(0),
            open: AtomicBool::new(true),
        }
    }

    /// A cache that stays empty until `open` is called: rows that are read before may lack messages
    /// from before this gateway began to receive them.
    pub(crate) fn closed() -> Self {
        Self { open: AtomicBool::new(false), ..Self::new() }
    }

    /// Opens the cache: from now on, rows contain everything from before the first received
    /// message.
    pub(crate) fn open(&self) {
        self.open.store(true, Ordering::Release);
    }

    /// True if rows that are read from now on may be cached.
    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// Records that a message of an id was received, and removes its row if that is older.
    pub(crate) fn invalidate(&self, id: &K, sequence: u64) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.newest.put(id.clone(), sequence);
        if entries.rows.peek(id).is_some_and(|(_, known)| *known < sequence) {
            entries.rows.pop(id);
        }
    }

    /// A cached row, if it passes `own` and contains the message with the sequence `at_least`.
    pub(crate) fn get(&self, id: &K, at_least: u64, own: impl Fn(&V) -> bool) -> Option<Row<V>> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        // The sequence is of the whole log, so a row may be up to date and still below it.
        let new_enough = |(_, at): &&Row<V>| at_least == 0 || *at >= at_least;
        let found = entries.rows.get(id).filter(|(row, _)| own(row)).filter(new_enough);
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found.cloned()
    }

    /// Caches a row, unless a newer message of its id was received meanwhile.
    pub(crate) fn insert(&self, id: K, row: Row<V>) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.newest.peek(&id).is_some_and(|newest| row.1 < *newest) {
            self.stale.fetch_add(1, Ordering::Relaxed);
            return;
        }
        entries.rows.put(id, row);
    }

    /// Removes all rows.
    pub(crate) fn clear(&self) {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).rows.clear();
    }

    pub(crate) fn stats(&self) -> CacheStats {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CacheStats {
            entries: self.entries.lock().unwrap_or_else(PoisonError::into_inner).rows.len(),
            hits: count(&self.hits),
            misses: count(&self.misses),
            stale: count(&self.stale),
        }
    }
}
