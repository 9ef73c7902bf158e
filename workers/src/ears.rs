use std::time::{Duration, Instant};

/// Whether we hear at all: what we say ourselves comes back to us by the same way. A connection that
/// stands is no proof, for it stands for minutes after the other end froze; nor is our own clock, for
/// we may have been paused ourselves.
#[derive(Debug, Default)]
pub(crate) struct Ears {
    /// Since when we have heard ourselves without a break, and when last.
    heard: Option<(Instant, Instant)>,
}

/// How often we say something.
pub(crate) const ECHO: Duration = Duration::from_secs(1);
/// A silence that others could have spoken in unheard.
const BREAK: Duration = Duration::from_secs(3);
/// How long we must have heard ourselves before somebody else's silence means something.
const OPEN: Duration = Duration::from_secs(8);

impl Ears {
    /// We heard ourselves.
    pub(crate) fn hear(&mut self, now: Instant) {
        let unbroken = self.heard.filter(|(_, last)| now.duration_since(*last) < BREAK);
        self.heard = Some((unbroken.map_or(now, |(since, _)| since), now));
    }

    /// True if silence means something.
    pub(crate) fn are_open(&self, now: Instant) -> bool {
        self.heard.is_some_and(|(since, last)| {
            now.duration_since(last) < BREAK && now.duration_since(since) >= OPEN
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ears_are_open_after_a_while_without_a_break() {
        let (mut ears, start) = (Ears::default(), Instant::now());
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        assert!(!ears.are_open(at(100)), "nothing was heard yet");
        (0..=8).for_each(|second| ears.hear(at(second)));
        assert!(!ears.are_open(at(7)));
        assert!(ears.are_open(at(8)));
        assert!(!ears.are_open(at(11)), "we may have been paused");
        (40..48).for_each(|second| ears.hear(at(second)));
        assert!(!ears.are_open(at(47)), "whoever spoke meanwhile was not heard");
        ears.hear(at(48));
        assert!(ears.are_open(at(48)));
    }
}
