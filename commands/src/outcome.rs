use std::fmt;

use ffapi_domain::Decider;
use ffapi_nats::{Decision, Position};

use crate::cache::Loaded;

/// The outcome of a command: enough to describe the aggregate after it without reading the log.
pub struct CommandOutcome<D: Decider> {
    /// Log position of the aggregate's newest event.
    pub position: Position,
    /// Number of the aggregate's events.
    pub version: u64,
    /// The aggregate's state after the command.
    pub state: D::State,
    /// What was appended; `None` if the command changed nothing because it was already in effect.
    pub appended: Option<Appended<D::Event>>,
}

/// The decision that a command appended to the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Appended<E> {
    /// Stream sequence of the message before it about the same aggregate; 0 if it is the first.
    pub previous: u64,
    /// The decision. Its personal fields are in plain text.
    pub decision: Decision<E>,
}

impl<D: Decider> CommandOutcome<D> {
    pub(crate) fn new(
        epoch: u32,
        after: Loaded<D::State>,
        appended: Option<Appended<D::Event>>,
    ) -> Self {
        let events = appended.as_ref().map_or(0, |appended| appended.decision.events.len());
        let index = u32::try_from(events.saturating_sub(1)).unwrap_or(u32::MAX);
        let position = Position { epoch, sequence: after.sequence, index };
        Self { position, version: after.version, state: after.state, appended }
    }

    /// False if the command changed nothing because it was already in effect.
    pub const fn changed(&self) -> bool {
        self.appended.is_some()
    }
}

impl<D: Decider> fmt::Debug for CommandOutcome<D> {
    /// Without the state and the events, which may be large.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommandOutcome")
            .field("position", &self.position)
            .field("version", &self.version)
            .field("changed", &self.changed())
            .finish_non_exhaustive()
    }
}
