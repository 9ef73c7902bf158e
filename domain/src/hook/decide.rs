use super::{DisabledBy, HookChange, HookEvent, HookTerms};
use crate::{Decider, Timestamp};

/// What may be asked of an endpoint.
#[derive(Debug, Clone)]
pub enum HookCommand {
    /// Make it; its secret is in the vault already.
    Create {
        /// What is asked for.
        terms: HookTerms,
    },
    /// Change it.
    Update {
        /// How.
        change: HookChange,
    },
    /// Take the next secret, which is in the vault already.
    RotateSecret {
        /// Its number.
        secret: u32,
        /// Until when the old one signs as well.
        old_until: Timestamp,
    },
    /// Send nothing any more.
    Disable {
        /// Who wants that.
        by: DisabledBy,
    },
    /// Send again.
    Enable,
    /// Forget it.
    Delete,
    /// Send an event that means nothing.
    Test,
    /// Send everything after a position once more.
    Replay {
        /// Sequence of that position.
        sequence: u64,
        /// Index of that position.
        index: u32,
    },
}

/// Where an endpoint stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum HookState {
    /// There is none.
    #[default]
    Unknown,
    /// It is there.
    Known {
        /// What was asked for.
        terms: HookTerms,
        /// The number of its newest secret.
        secret: u32,
        /// It is sent to.
        enabled: bool,
    },
    /// It was.
    Deleted,
}

/// The endpoint decider.
#[derive(Debug)]
pub struct Hook;

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HookRejection {
    /// No such endpoint.
    #[error("there is no such webhook")]
    NotFound,
    /// It exists already.
    #[error("the webhook was made already")]
    AlreadyCreated,
    /// Another secret came in between.
    #[error("its secret was rotated meanwhile")]
    StaleSecret,
    /// Nothing is sent to it.
    #[error("the webhook is disabled; enable it first")]
    Disabled,
}

impl Decider for Hook {
    type Command = HookCommand;
    type Event = HookEvent;
    type State = HookState;
    type Rejection = HookRejection;

    const CATEGORY: &'static str = "hook";

    fn decide(state: &HookState, command: HookCommand) -> Result<Vec<HookEvent>, HookRejection> {
        if let HookCommand::Create { terms } = command {
            return match state {
                HookState::Unknown => Ok(vec![HookEvent::Created { terms }]),
                HookState::Known { .. } | HookState::Deleted => Err(HookRejection::AlreadyCreated),
            };
        }
        let HookState::Known { terms: have, secret: newest, enabled } = state else {
            return match (state, command) {
                (HookState::Deleted, HookCommand::Delete) => Ok(vec![]),
                _ => Err(HookRejection::NotFound),
            };
        };
        Ok(match command {
            HookCommand::Update { change } => change.events(have, *enabled),
            HookCommand::RotateSecret { secret, old_until } => {
                if secret != newest.saturating_add(1) {
                    return Err(HookRejection::StaleSecret);
                }
                vec![HookEvent::SecretRotated { secret, old_until }]
            }
            HookCommand::Disable { by } if *enabled => vec![HookEvent::Disabled { by }],
            HookCommand::Enable if !enabled => vec![HookEvent::Enabled {}],
            HookCommand::Create { .. } | HookCommand::Disable { .. } | HookCommand::Enable => {
                vec![]
            }
            HookCommand::Delete => vec![HookEvent::Deleted {}],
            HookCommand::Test | HookCommand::Replay { .. } if !enabled => {
                return Err(HookRejection::Disabled);
            }
            HookCommand::Test => vec![HookEvent::Tested {}],
            HookCommand::Replay { sequence, index } => {
                vec![HookEvent::ReplayAsked { sequence, index }]
            }
        })
    }

    fn evolve(state: HookState, event: &HookEvent) -> HookState {
        match (state, event) {
            (_, HookEvent::Created { terms }) => {
                HookState::Known { terms: terms.clone(), secret: 1, enabled: true }
            }
            (_, HookEvent::Deleted {}) => HookState::Deleted,
            (HookState::Known { secret, enabled, .. }, HookEvent::Updated { terms }) => {
                HookState::Known { terms: terms.clone(), secret, enabled }
            }
            (HookState::Known { terms, enabled, .. }, HookEvent::SecretRotated { secret, .. }) => {
                HookState::Known { terms, secret: *secret, enabled }
            }
            (HookState::Known { terms, secret, .. }, HookEvent::Disabled { .. }) => {
                HookState::Known { terms, secret, enabled: false }
            }
            (HookState::Known { terms, secret, .. }, HookEvent::Enabled {}) => {
                HookState::Known { terms, secret, enabled: true }
            }
            (state, _) => state,
        }
    }
}
