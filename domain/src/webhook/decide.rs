use super::{DisabledBy, WebhookChange, WebhookEvent, WebhookTerms};
use crate::{Decider, Timestamp};

/// What may be asked of an endpoint.
#[derive(Debug, Clone)]
pub enum WebhookCommand {
    /// Make it; its secret is in the vault already.
    Create {
        /// What is asked for.
        terms: WebhookTerms,
    },
    /// Change it.
    Update {
        /// How.
        change: WebhookChange,
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
pub enum WebhookState {
    /// There is none.
    #[default]
    Unknown,
    /// It is there.
    Known {
        /// What was asked for.
        terms: WebhookTerms,
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
pub struct Webhook;

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WebhookRejection {
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

impl Decider for Webhook {
    type Command = WebhookCommand;
    type Event = WebhookEvent;
    type State = WebhookState;
    type Rejection = WebhookRejection;

    const CATEGORY: &'static str = "hook";

    fn decide(
        state: &WebhookState,
        command: WebhookCommand,
    ) -> Result<Vec<WebhookEvent>, WebhookRejection> {
        if let WebhookCommand::Create { terms } = command {
            return match state {
                WebhookState::Unknown => Ok(vec![WebhookEvent::Created { terms }]),
                WebhookState::Known { .. } | WebhookState::Deleted => {
                    Err(WebhookRejection::AlreadyCreated)
                }
            };
        }
        let WebhookState::Known { terms: have, secret: newest, enabled } = state else {
            return match (state, command) {
                (WebhookState::Deleted, WebhookCommand::Delete) => Ok(vec![]),
                _ => Err(WebhookRejection::NotFound),
            };
        };
        Ok(match command {
            WebhookCommand::Update { change } => change.events(have, *enabled),
            WebhookCommand::RotateSecret { secret, old_until } => {
                if secret != newest.saturating_add(1) {
                    return Err(WebhookRejection::StaleSecret);
                }
                vec![WebhookEvent::SecretRotated { secret, old_until }]
            }
            WebhookCommand::Disable { by } if *enabled => vec![WebhookEvent::Disabled { by }],
            WebhookCommand::Enable if !enabled => vec![WebhookEvent::Enabled {}],
            WebhookCommand::Create { .. }
            | WebhookCommand::Disable { .. }
            | WebhookCommand::Enable => {
                vec![]
            }
            WebhookCommand::Delete => vec![WebhookEvent::Deleted {}],
            WebhookCommand::Test | WebhookCommand::Replay { .. } if !enabled => {
                return Err(WebhookRejection::Disabled);
            }
            WebhookCommand::Test => vec![WebhookEvent::Tested {}],
            WebhookCommand::Replay { sequence, index } => {
                vec![WebhookEvent::ReplayAsked { sequence, index }]
            }
        })
    }

    fn evolve(state: WebhookState, event: &WebhookEvent) -> WebhookState {
        match (state, event) {
            (_, WebhookEvent::Created { terms }) => {
                WebhookState::Known { terms: terms.clone(), secret: 1, enabled: true }
            }
            (_, WebhookEvent::Deleted {}) => WebhookState::Deleted,
            (WebhookState::Known { secret, enabled, .. }, WebhookEvent::Updated { terms }) => {
                WebhookState::Known { terms: terms.clone(), secret, enabled }
            }
            (
                WebhookState::Known { terms, enabled, .. },
                WebhookEvent::SecretRotated { secret, .. },
            ) => WebhookState::Known { terms, secret: *secret, enabled },
            (WebhookState::Known { terms, secret, .. }, WebhookEvent::Disabled { .. }) => {
                WebhookState::Known { terms, secret, enabled: false }
            }
            (WebhookState::Known { terms, secret, .. }, WebhookEvent::Enabled {}) => {
                WebhookState::Known { terms, secret, enabled: true }
            }
            (state, _) => state,
        }
    }
}
