use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::protocol::ChildMessage;

/// Reports to the worker that work continues, in whichever stage: an encoder with a long lookahead
/// writes nothing for a while, and must not be taken for stuck.
pub(crate) struct Heartbeat<'a> {
    send: &'a (dyn Fn(ChildMessage) + Sync),
    last: Mutex<Instant>,
}

/// The level of lines that are notes of the job's result too; they are logged as `info`.
pub(crate) const NOTE: &str = "note";

/// The shortest time between two reports.
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(500);

impl<'a> Heartbeat<'a> {
    pub(crate) fn new(send: &'a (dyn Fn(ChildMessage) + Sync)) -> Self {
        Self { send, last: Mutex::new(Instant::now()) }
    }

    /// Adds a sentence to the notes in the job's result, and to its log.
    pub(crate) fn note(&self, line: String) {
        (self.send)(ChildMessage::Log { level: NOTE.to_owned(), line });
    }

    /// Notes that a piece of work was done; reports it if the interval has passed.
    pub(crate) fn beat(&self) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.elapsed() >= HEARTBEAT_INTERVAL {
            *last = Instant::now();
            drop(last);
            (self.send)(ChildMessage::Working);
        }
    }
}
