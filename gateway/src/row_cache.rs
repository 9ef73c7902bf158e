//! What was read last, kept in memory until the log says that it changed.

use std::{
    hash::Hash,
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use lru::LruCache;

/// A row, and the sequence of the newest message that is folded into it.
type Row<V> = (Arc<V>, u64);

/// The rows that are asked for most. A row is kept only if it is as new as what was heard of its thing,
/// and goes as soon as anything else is heard: what is served is never older than what this gateway
/// knows of.
#[derive(Debug)]
pub(crate) struct RowCache<K: Hash + Eq, V> {
    kept: Mutex<Kept<K, V>>,
    hits: AtomicU64,
    misses: AtomicU64,
    /// Rows that were not kept, for something newer had been heard.
    stale: AtomicU64,
    open: AtomicBool,
}

#[derive(Debug)]
struct Kept<K: Hash + Eq, V> {
    rows: LruCache<K, Row<V>>,
    /// The newest message of each thing that was heard lately.
    heard: LruCache<K, u64>,
}

/// How a cache does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CacheStats {
    pub(crate) entries: usize,
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) stale: u64,
}

const ROWS: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();
/// More than there are rows: what was heard is forgotten after the row that it would refuse.
const HEARD: NonZeroUsize = NonZeroUsize::new(100_000).unwrap();

impl<K: Clone + Hash + Eq, V> RowCache<K, V> {
    pub(crate) fn new() -> Self {
        // They grow as they are filled.
        let kept = Kept { rows: LruCache::sparse(ROWS), heard: LruCache::sparse(HEARD) };
        Self {
            kept: Mutex::new(kept),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            stale: AtomicU64::new(0),
            open: AtomicBool::new(true),
        }
    }

    /// In which nothing is kept before `open`: what happened before anything was heard may not be in
    /// what is read.
    pub(crate) fn closed() -> Self {
        Self { open: AtomicBool::new(false), ..Self::new() }
    }

    /// From now on everything that is read is as new as what was heard first.
    pub(crate) fn open(&self) {
        self.open.store(true, Ordering::Release);
    }

    /// True if what is read from now on may be kept.
    pub(crate) fn are_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// Takes in that there is a message of a thing: what is kept of it is old now.
    pub(crate) fn hear(&self, id: &K, sequence: u64) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.heard.put(id.clone(), sequence);
        if kept.rows.peek(id).is_some_and(|(_, known)| *known < sequence) {
            kept.rows.pop(id);
        }
    }

    /// A row, if it is kept and the asker's own; what a reader has seen must be in it.
    pub(crate) fn find(&self, id: &K, at_least: u64, own: impl Fn(&V) -> bool) -> Option<Row<V>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        // A position is of the whole log: a row may be as new as can be, and be below it.
        let new_enough = |(_, at): &&Row<V>| at_least == 0 || *at >= at_least;
        let found = kept.rows.get(id).filter(|(row, _)| own(row)).filter(new_enough);
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found.cloned()
    }

    /// Keeps a row that was read, unless something newer of its thing was heard meanwhile.
    pub(crate) fn keep(&self, id: K, row: Row<V>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.heard.peek(&id).is_some_and(|heard| row.1 < *heard) {
            self.stale.fetch_add(1, Ordering::Relaxed);
            return;
        }
        kept.rows.put(id, row);
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).rows.clear();
    }

    pub(crate) fn figures(&self) -> CacheStats {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CacheStats {
            entries: self.kept.lock().unwrap_or_else(PoisonError::into_inner).rows.len(),
            hits: count(&self.hits),
            misses: count(&self.misses),
            stale: count(&self.stale),
        }
    }
}
