//! How far read models are behind, in time. A read model that stands still says nothing, so the ends of
//! the streams are remembered, with the time when they were seen.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::Ends;

/// Ends that are remembered: two hours of a poll every two seconds. Beyond that, a lag is shown as the
/// age of the oldest one.
const MAX_SEEN: usize = 3_600;

#[derive(Debug)]
struct Seen {
    at: Instant,
    ends: Ends,
}

static SEEN: Mutex<VecDeque<Seen>> = Mutex::new(VecDeque::new());

/// Records the ends of the streams.
pub(crate) fn ends_seen(ends: Ends) {
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    if seen.back().is_some_and(|last| last.ends == ends) {
        return;
    }
    if seen.len() >= MAX_SEEN {
        seen.pop_front();
    }
    seen.push_back(Seen { at: Instant::now(), ends });
}

/// The lag of one read model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lag {
    pub(super) events: u64,
    /// Since the oldest message that it has not applied was first seen.
    pub(super) time: Duration,
}

/// The lag of a read model at this position; none while the ends are not known.
pub(super) fn lag(projection: &str, position: u64) -> Option<Lag> {
    let seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    let events = seen.back()?.ends.lag(projection, position)?;
    let ahead = seen.iter().find(|seen| seen.ends.lag(projection, position) > Some(0));
    Some(Lag { events, time: ahead.map_or(Duration::ZERO, |seen| seen.at.elapsed()) })
}
