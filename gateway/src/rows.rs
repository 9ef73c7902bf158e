//! Jobs as they were read last, kept in memory until the log says that they changed.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use domain::{JobId, Tenant, job::JobView};
use lru::LruCache;
use nats::Message;

/// A row, and the sequence of the newest message that is folded into it.
type Row = (Arc<JobView>, u64);

/// The rows that are asked for most. A row is kept only if it is as new as what was heard of its job,
/// and goes as soon as anything else is heard: what is served is never older than what this gateway
/// knows of.
#[derive(Debug)]
pub(crate) struct Rows {
    kept: Mutex<Kept>,
    hits: AtomicU64,
    misses: AtomicU64,
    /// Rows that were not kept, for something newer had been heard.
    stale: AtomicU64,
}

#[derive(Debug)]
struct Kept {
    rows: LruCache<JobId, Row>,
    /// The newest message of each job that was heard lately.
    heard: LruCache<JobId, u64>,
}

/// How the cache does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) entries: usize,
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) stale: u64,
}

const ROWS: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();
/// More than there are rows: what was heard is forgotten after the row that it would refuse.
const HEARD: NonZeroUsize = NonZeroUsize::new(100_000).unwrap();

impl Rows {
    pub(crate) fn new() -> Self {
        let kept = Kept { rows: LruCache::new(ROWS), heard: LruCache::new(HEARD) };
        Self {
            kept: Mutex::new(kept),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            stale: AtomicU64::new(0),
        }
    }

    /// Takes in a message of a job: what is kept of it is old now.
    pub(crate) fn hear(&self, message: &Message) {
        let id = message.address().and_then(|(_, _, id)| id.parse::<JobId>().ok());
        let Some(id) = id else { return };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.heard.put(id, message.sequence);
        if kept.rows.peek(&id).is_some_and(|(_, sequence)| *sequence < message.sequence) {
            kept.rows.pop(&id);
        }
    }

    /// A tenant's row, if it is kept; what a reader has seen must be in it.
    pub(crate) fn find(&self, tenant: &Tenant, id: JobId, at_least: u64) -> Option<Row> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let own = |(job, _): &&Row| job.summary.tenant == *tenant;
        // A position is of the whole log: a row may be as new as can be, and be below it.
        let found =
            kept.rows.get(&id).filter(own).filter(|(_, at)| at_least == 0 || *at >= at_least);
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found.cloned()
    }

    /// Keeps a row that was read, unless something newer of its job was heard meanwhile.
    pub(crate) fn keep(&self, id: JobId, row: Row) {
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

    pub(crate) fn figures(&self) -> Figures {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Figures {
            entries: self.kept.lock().unwrap_or_else(PoisonError::into_inner).rows.len(),
            hits: count(&self.hits),
            misses: count(&self.misses),
            stale: count(&self.stale),
        }
    }
}
