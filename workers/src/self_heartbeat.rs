use std::time::{Duration, Instant};

/// Detects whether messages reach this process at all: its own heartbeats return on the same path
/// as those of others. An open connection is no proof, because it stays open for minutes after the
/// other end froze; nor is the local clock, because this process may have been paused itself.
#[derive(Debug, Default)]
pub(crate) struct SelfHeartbeat {
    /// When the current unbroken series of own heartbeats began, and when the last one arrived.
    received: Option<(Instant, Instant)>,
}

/// How often a heartbeat is sent to ourselves.
pub(crate) const ECHO_INTERVAL: Duration = Duration::from_secs(1);
/// A gap in own heartbeats this long may have lost those of others too.
const MAX_GAP: Duration = Duration::from_secs(3);
/// How long own heartbeats must arrive without a gap before missing ones of others count.
const SETTLING_TIME: Duration = Duration::from_secs(8);

impl SelfHeartbeat {
    /// Records that an own heartbeat came back.
    pub(crate) fn receive(&mut self, now: Instant) {
        let unbroken = self.received.filter(|(_, last)| now.duration_since(*last) < MAX_GAP);
        self.received = Some((unbroken.map_or(now, |(since, _)| since), now));
    }

    /// True if missing heartbeats of others mean that they are gone, not that this process receives
    /// nothing.
    pub(crate) fn is_settled(&self, now: Instant) -> bool {
        self.received.is_some_and(|(since, last)| {
            now.duration_since(last) < MAX_GAP && now.duration_since(since) >= SETTLING_TIME
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_settles_after_a_while_without_a_gap() {
        let (mut own, start) = (SelfHeartbeat::default(), Instant::now());
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        assert!(!own.is_settled(at(100)), "none received yet");
        (0..=8).for_each(|second| own.receive(at(second)));
        assert!(!own.is_settled(at(7)));
        assert!(own.is_settled(at(8)));
        assert!(!own.is_settled(at(11)), "we may have been paused");
        (40..48).for_each(|second| own.receive(at(second)));
        assert!(!own.is_settled(at(47)), "those of others may have been lost meanwhile");
        own.receive(at(48));
        assert!(own.is_settled(at(48)));
    }
}
