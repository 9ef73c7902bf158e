//! What a read must contain: everything that any gateway has answered, or any event has reported, before
//! the read began.

use std::{
    num::NonZeroUsize,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use ffapi_domain::Tenant;
use ffapi_nats::Log;
use lru::LruCache;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Mutex as AsyncMutex, watch},
    time::timeout,
};

use crate::metrics::{self, WaitOutcome};

/// What a read contains.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Consistency {
    /// Everything that any gateway has answered before, or any event has reported.
    #[default]
    ReadYourWrites,
    /// What the read models contain; they are usually some milliseconds behind.
    Eventual,
}

/// Knows the newest event of each tenant.
#[derive(Debug)]
pub(crate) struct ReadBarrier {
    consistency: Consistency,
    /// The newest poll of the end of the log: when it began, and what it found.
    poll: AsyncMutex<Option<(Instant, u64)>>,
    /// The log was received up to this sequence.
    received: watch::Sender<u64>,
    newest: Mutex<Newest>,
}

#[derive(Debug)]
struct Newest {
    /// The sequence of the newest event of each tenant that had one lately.
    by_tenant: LruCache<String, u64>,
    /// The events of all other tenants are not newer than this.
    of_others: u64,
}

const MAX_TENANTS: NonZeroUsize = NonZeroUsize::new(100_000).unwrap();
/// How long a read waits for the log. While the log does not respond, a read is answered from what is
/// known.
const LOG_TIMEOUT: Duration = Duration::from_millis(500);

impl ReadBarrier {
    pub(crate) fn new(consistency: Consistency) -> Self {
        Self {
            consistency,
            poll: AsyncMutex::default(),
            received: watch::Sender::new(0),
            newest: Mutex::new(Newest { by_tenant: LruCache::sparse(MAX_TENANTS), of_others: 0 }),
        }
    }

    /// Begins after this sequence; what comes after it is received.
    pub(crate) fn begin(&self, last: u64) {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).of_others = last;
        self.received.send_replace(last);
    }

    /// Records that a message was received, after everything cached was invalidated by it.
    pub(crate) fn receive(&self, tenant: Option<&str>, sequence: u64) {
        if let Some(tenant) = tenant {
            let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(known) = newest.by_tenant.get_mut(tenant) {
                *known = sequence;
            } else if let Some((_, evicted)) = newest.by_tenant.push(tenant.to_owned(), sequence) {
                newest.of_others = newest.of_others.max(evicted);
            }
        }
        self.received.send_replace(sequence);
    }

    /// The sequence of the newest event of a tenant, of all that were appended before the call. When
    /// it returns, caches hold nothing that is older.
    ///
    /// 0, which every read model contains, where reads are eventually consistent.
    pub(crate) async fn newest(&self, log: &Log, tenant: &Tenant) -> u64 {
        if self.consistency == Consistency::Eventual {
            return 0;
        }
        let start = Instant::now();
        let received = async {
            let end = self.end(log).await?;
            let mut received = self.received.subscribe();
            received.wait_for(|received| *received >= end).await.ok().map(|_| ())
        };
        let outcome = if matches!(timeout(LOG_TIMEOUT, received).await, Ok(Some(()))) {
            WaitOutcome::Received
        } else {
            tracing::debug!("a read is answered without the end of the log");
            WaitOutcome::TimedOut
        };
        metrics::waited_for_log(start.elapsed(), outcome);
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let of_others = newest.of_others;
        newest.by_tenant.get(tenant.as_str()).copied().unwrap_or(of_others)
    }

    /// The last sequence of the log, by a poll that began after the call: one at a time, shared by all
    /// reads that wait meanwhile. None if the log does not respond.
    async fn end(&self, log: &Log) -> Option<u64> {
        let called = Instant::now();
        let mut poll = self.poll.lock().await;
        if let Some((began, end)) = *poll
            && began >= called
        {
            return Some(end);
        }
        let began = Instant::now();
        let end = log.last_sequence().await.ok()?;
        *poll = Some((began, end));
        Some(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_event_of_a_tenant_that_is_not_listed_is_not_underestimated() {
        let barrier = ReadBarrier::new(Consistency::default());
        barrier.begin(10);
        let newest = |tenant: &str| {
            let newest = barrier.newest.lock().unwrap();
            newest.by_tenant.peek(tenant).copied().unwrap_or(newest.of_others)
        };
        barrier.receive(Some("a"), 11);
        barrier.receive(None, 12);
        barrier.receive(Some("b"), 13);
        assert_eq!((newest("a"), newest("b"), newest("c")), (11, 13, 10));
        for n in 0..MAX_TENANTS.get() - 1 {
            barrier.receive(Some(&n.to_string()), 14);
        }
        assert_eq!((newest("a"), newest("b"), newest("c")), (11, 13, 11));
    }
}
