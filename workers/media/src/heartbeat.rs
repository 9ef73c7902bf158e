use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::protocol::ChildMessage;

/// Says now and then that work goes on, whichever stage does it: an encoder that looks far ahead
/// writes nothing for a long while, and is not stuck.
pub(crate) struct Heartbeat<'a> {
    say: &'a (dyn Fn(ChildMessage) + Sync),
    beat: Mutex<Instant>,
}

const BEAT: Duration = Duration::from_millis(500);

impl<'a> Heartbeat<'a> {
    pub(crate) fn new(say: &'a (dyn Fn(ChildMessage) + Sync)) -> Self {
        Self { say, beat: Mutex::new(Instant::now()) }
    }

    /// A piece of work was done.
    pub(crate) fn beat(&self) {
        let mut beat = self.beat.lock().unwrap_or_else(PoisonError::into_inner);
        if beat.elapsed() >= BEAT {
            *beat = Instant::now();
            drop(beat);
            (self.say)(ChildMessage::Working);
        }
    }
}
