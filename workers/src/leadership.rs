use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use uuid::Uuid;

/// Which of several conductors acts: the one that started first, of those heard lately.
///
/// Only a courtesy: two that act at once do no harm, for the log refuses the slower one's round.
#[derive(Debug)]
pub(crate) struct Leadership {
    me: String,
    heard: BTreeMap<String, Instant>,
}

pub(crate) const SUBJECT: &str = "presence.conductor";
/// What is said where only whoever says it listens; no conductor's name, and behind them all.
pub(crate) const NOBODY: &str = "~";

/// Where a conductor hears itself.
pub(crate) fn echo(me: &str) -> String {
    format!("{SUBJECT}.{me}-echo")
}

pub(crate) const BEAT: Duration = Duration::from_secs(1);
const GONE: Duration = Duration::from_secs(4);

impl Leadership {
    pub(crate) fn new() -> Self {
        // Sorts by time of start.
        Self { me: Uuid::now_v7().simple().to_string(), heard: BTreeMap::new() }
    }

    pub(crate) fn me(&self) -> &str {
        &self.me
    }

    pub(crate) fn hear(&mut self, payload: &[u8]) {
        if let Some(id) = std::str::from_utf8(payload).ok().filter(|id| *id != NOBODY) {
            self.heard.insert(id.to_owned(), Instant::now());
        }
    }

    pub(crate) fn acting(&mut self) -> bool {
        self.heard.retain(|_, at| at.elapsed() < GONE);
        self.heard.keys().next().is_none_or(|first| *first >= self.me)
    }
}
