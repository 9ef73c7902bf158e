use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use ffapi_nats::subject;
use uuid::Uuid;

/// Elects the conductor that acts: the one that started first, of those with recent heartbeats.
///
/// This only avoids wasted work: two leaders at once do no harm, because the log rejects the append
/// of the slower one.
#[derive(Debug)]
pub(crate) struct Leadership {
    me: String,
    last_seen: BTreeMap<String, Instant>,
}

/// The payload of a heartbeat that a conductor sends to itself; no valid conductor name, and sorted
/// after all of them.
pub(crate) const ECHO_PAYLOAD: &str = "~";

/// The subject on which a conductor receives its own heartbeats.
pub(crate) fn echo_subject(me: &str) -> String {
    subject::conductor_presence(format_args!("{me}-echo"))
}

/// How often a conductor publishes a heartbeat.
pub(crate) const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);
/// A conductor without a heartbeat for this long is considered gone.
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(4);

impl Leadership {
    pub(crate) fn new() -> Self {
        // Sorts by time of start.
        Self { me: Uuid::now_v7().simple().to_string(), last_seen: BTreeMap::new() }
    }

    pub(crate) fn me(&self) -> &str {
        &self.me
    }

    /// Records a heartbeat; own ones are ignored.
    pub(crate) fn receive(&mut self, payload: &[u8]) {
        if let Some(id) = std::str::from_utf8(payload).ok().filter(|id| *id != ECHO_PAYLOAD) {
            self.last_seen.insert(id.to_owned(), Instant::now());
        }
    }

    /// True if no conductor that started earlier is present.
    pub(crate) fn is_leader(&mut self) -> bool {
        self.last_seen.retain(|_, at| at.elapsed() < HEARTBEAT_TIMEOUT);
        self.last_seen.keys().next().is_none_or(|first| *first >= self.me)
    }
}
