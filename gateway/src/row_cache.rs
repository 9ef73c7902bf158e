//! A cache of rows of read models, invalidated by messages of the log, and bounded by the number and
//! the size of the rows.

use std::{
    hash::Hash,
    io,
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use lru::LruCache;
use serde::Serialize;

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
    /// The size from which a row is not cached, in bytes.
    max_row: usize,
}

#[derive(Debug)]
struct Entries<K: Hash + Eq, V> {
    rows: LruCache<K, (Row<V>, usize)>,
    /// The size of all rows in bytes, as JSON.
    bytes: usize,
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
/// The maximum size of all rows in bytes, as JSON; in memory, a row may be several times as large.
const MAX_BYTES: usize = 32 * 1024 * 1024;
/// The usual size from which a row is not cached, in bytes.
const MAX_ROW_BYTES: usize = 256 * 1024;

impl<K: Hash + Eq, V> Entries<K, V> {
    fn remove(&mut self, id: &K) {
        if let Some((_, size)) = self.rows.pop(id) {
            self.bytes = self.bytes.saturating_sub(size);
        }
    }

    /// Adds a row, and removes those that were not used for the longest time if there are too many.
    fn add(&mut self, id: K, row: Row<V>, size: usize) {
        if let Some((_, (_, replaced))) = self.rows.push(id, (row, size)) {
            self.bytes = self.bytes.saturating_sub(replaced);
        }
        self.bytes = self.bytes.saturating_add(size);
        while self.bytes > MAX_BYTES
            && let Some((_, (_, size))) = self.rows.pop_lru()
        {
            self.bytes = self.bytes.saturating_sub(size);
        }
    }
}

/// Counts the bytes that are written, up to a maximum.
struct Counter {
    bytes: usize,
    max: usize,
}

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes = self.bytes.saturating_add(bytes.len());
        if self.bytes > self.max {
            Err(io::ErrorKind::FileTooLarge.into())
        } else {
            Ok(bytes.len())
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The size of a row in bytes, as JSON; none if it is over `max`.
fn size(row: &impl Serialize, max: usize) -> Option<usize> {
    let mut counter = Counter { bytes: 0, max };
    serde_json::to_writer(&mut counter, row).ok()?;
    Some(counter.bytes)
}

impl<K: Clone + Hash + Eq, V: Serialize> RowCache<K, V> {
    pub(crate) fn new() -> Self {
        // Memory grows as they are filled.
        let entries = Entries {
            rows: LruCache::sparse(MAX_ROWS),
            bytes: 0,
            newest: LruCache::sparse(MAX_SEQUENCES),
        };
        Self {
            entries: Mutex::new(entries),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            stale: AtomicU64::new(0),
            open: AtomicBool::new(true),
            max_row: MAX_ROW_BYTES,
        }
    }

    /// A cache that stays empty until `open` is called: rows that are read before may lack messages
    /// from before this gateway began to receive them.
    pub(crate) fn closed() -> Self {
        Self { open: AtomicBool::new(false), ..Self::new() }
    }

    /// The same cache for rows up to a size, in bytes.
    pub(crate) fn for_rows_up_to(self, max_row: usize) -> Self {
        Self { max_row, ..self }
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
        if entries.rows.peek(id).is_some_and(|((_, known), _)| *known < sequence) {
            entries.remove(id);
        }
    }

    /// A cached row, if it passes `own` and contains the message with the sequence `at_least`.
    pub(crate) fn get(&self, id: &K, at_least: u64, own: impl Fn(&V) -> bool) -> Option<Row<V>> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        // The sequence is of the whole log, so a row may be up to date and still below it.
        let new_enough = |(_, at): &&Row<V>| at_least == 0 || *at >= at_least;
        let row = entries.rows.get(id).map(|(row, _)| row);
        let found = row.filter(|(row, _)| own(row)).filter(new_enough);
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found.cloned()
    }

    /// Caches a row, unless it is large or a newer message of its id was received meanwhile.
    pub(crate) fn insert(&self, id: K, row: Row<V>) {
        let Some(size) = size(&*row.0, self.max_row) else { return };
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.newest.peek(&id).is_some_and(|newest| row.1 < *newest) {
            self.stale.fetch_add(1, Ordering::Relaxed);
            return;
        }
        entries.add(id, row, size);
    }

    /// Removes all rows.
    pub(crate) fn clear(&self) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.rows.clear();
        entries.bytes = 0;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn row(bytes: usize, sequence: u64) -> Row<String> {
        (Arc::new("x".repeat(bytes)), sequence)
    }

    fn has(cache: &RowCache<usize, String>, id: usize) -> bool {
        cache.get(&id, 0, |_| true).is_some()
    }

    #[test]
    fn the_rows_that_were_used_last_are_kept_within_the_size_of_the_cache() {
        let cache = RowCache::new();
        let rows = MAX_BYTES / MAX_ROW_BYTES;
        for id in 0..=rows {
            cache.insert(id, row(MAX_ROW_BYTES - 2, 1));
            assert!(has(&cache, 0) && has(&cache, id), "{id}");
        }
        assert!(!has(&cache, 1));
        assert_eq!(cache.stats().entries, rows);
        // A removed or replaced row makes room for another one.
        cache.invalidate(&2, 2);
        cache.insert(0, row(1, 1));
        cache.insert(rows + 1, row(MAX_ROW_BYTES - 2, 1));
        cache.insert(rows + 2, row(MAX_ROW_BYTES - 10, 1));
        assert_eq!(cache.stats().entries, rows + 1);
        assert!(has(&cache, 3));
    }

    #[test]
    fn a_large_row_is_not_cached() {
        let cache = RowCache::new();
        cache.insert(1, row(MAX_ROW_BYTES, 1));
        assert!(!has(&cache, 1));
    }
}
