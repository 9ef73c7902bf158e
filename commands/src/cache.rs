use std::{
    any::Any,
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
};

use lru::LruCache;

use crate::metrics::{self, Lookup};

/// An aggregate's state, folded up to a stream sequence.
#[derive(Debug, Clone, Default)]
pub(crate) struct Loaded<S> {
    pub(crate) state: S,
    /// Stream sequence of the aggregate's last message; 0 if there is none.
    pub(crate) sequence: u64,
    /// Number of its events.
    pub(crate) version: u64,
}

/// The most recently used folds. May be stale: the append's expected sequence validates them.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    folds: Arc<Mutex<LruCache<String, Arc<dyn Any + Send + Sync>>>>,
}

const CAPACITY: NonZeroUsize = NonZeroUsize::new(20_000).unwrap();

impl Cache {
    pub(crate) fn new() -> Self {
        Self { folds: Arc::new(Mutex::new(LruCache::sparse(CAPACITY))) }
    }

    pub(crate) fn get<S: Clone + Send + Sync + 'static>(&self, subject: &str) -> Option<Loaded<S>> {
        let found = {
            let mut folds = self.folds.lock().unwrap_or_else(PoisonError::into_inner);
            folds.get(subject).and_then(|fold| fold.downcast_ref::<Loaded<S>>()).cloned()
        };
        metrics::looked_up(if found.is_some() { Lookup::Hit } else { Lookup::Miss });
        found
    }

    /// Drops every fold of a tenant.
    pub(crate) fn forget(&self, tenant: &str) {
        let mut folds = self.folds.lock().unwrap_or_else(PoisonError::into_inner);
        let token = format!(".{tenant}.");
        let subjects: Vec<String> = folds
            .iter()
            .map(|(subject, _)| subject.clone())
            .filter(|s| s.contains(&token))
            .collect();
        for subject in subjects {
            folds.pop(&subject);
        }
    }

    pub(crate) fn put<S: Send + Sync + 'static>(&self, subject: &str, loaded: Loaded<S>) {
        let mut folds = self.folds.lock().unwrap_or_else(PoisonError::into_inner);
        folds.put(subject.to_owned(), Arc::new(loaded));
    }
}
