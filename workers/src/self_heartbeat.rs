use std::time::{Duration, Instant};

/// Whether messages reach this process at all: its own heartbeats come back by the same way as others'. A connection that
/// stands is no proof, for it stands for minutes after the other end froze; nor is our own clock, for
/// we may have been paused ourselves.
#[derive(Debug, Default)]
pub(crate) struct SelfHeartbeat {
    /// Since when own heartbeats came without a break, and when the last one did.
    received: Option<(Instant, Instant)>,
}

/// How often a heartbeat is sent.
pub(crate) const INTERVAL: Duration = Duration::from_secs(1);
/// A silence that others could have spoken in unheard.
const BREAK: Duration = Duration::from_secs(3);
/// How long own heartbeats must have come before others' missing ones mean something.
const SETTLED: Duration = Duration::from_secs(8);

impl SelfHeartbeat {
    /// One came back.
    pub(crate) fn receive(&mut self, now: Instant) {
        let unbroken = self.received.filter(|(_, last)| now.duration_since(*last) < BREAK);
        self.received = Some((unbroken.map_or(now, |(since, _)| since), now));
    }

    /// True if missing heartbeats of others mean that they are gone, not that this process is deaf.
    pub(crate) fn is_settled(&self, now: Instant) -> bool {
        self.received.is_some_and(|(since, last)| {
            now.duration_since(last) < BREAK && now.duration_since(since) >= SETTLED
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_settles_after_a_while_without_a_break() {
        let (mut own, start) = (SelfHeartbeat::default(), Instant::now());
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        assert!(!own.is_settled(at(100)), "none came yet");
        (0..=8).for_each(|second| own.receive(at(second)));
        assert!(!own.is_settled(at(7)));
        assert!(own.is_settled(at(8)));
        assert!(!own.is_settled(at(11)), "we may have been paused");
        (40..48).for_each(|second| own.receive(at(second)));
        assert!(!own.is_settled(at(47)), "those of others were lost meanwhile");
        own.receive(at(48));
        assert!(own.is_settled(at(48)));
    }
}
