use super::{DisabledBy, WebhookChange, WebhookEvent, WebhookTerms};
use crate::{Category, Decider, Timestamp};

/// A command for a webhook endpoint.
#[derive(Debug, Clone)]
pub enum WebhookCommand {
    /// Create it; its secret is in the vault already.
    Create {
        /// Its terms.
        terms: WebhookTerms,
    },
    /// Change it.
    Update {
        /// The changes.
        change: WebhookChange,
    },
    /// Switch to the next secret, which is in the vault already.
    RotateSecret {
        /// Number of the new secret.
        secret: u32,
        /// Until when deliveries are also signed with the old one.
        old_until: Timestamp,
    },
    /// Stop sending events to it.
    Disable {
        /// Who or what disables it.
        by: DisabledBy,
    },
    /// Resume sending events to it.
    Enable,
    /// Delete it.
    Delete,
    /// Send a test event.
    Test,
    /// Send all events after a position again.
    Replay {
        /// Sequence of that position.
        sequence: u64,
        /// Index of that position.
        index: u32,
    },
}

/// State of a webhook endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum WebhookState {
    /// Not created.
    #[default]
    Unknown,
    /// It exists.
    Known {
        /// Its terms.
        terms: WebhookTerms,
        /// Number of its current secret.
        secret: u32,
        /// True if events are sent to it.
        enabled: bool,
    },
    /// It was deleted.
    Deleted,
}

/// The webhook decider.
#[derive(Debug)]
pub struct Webhook;

/// Why a webhook command is rejected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WebhookRejection {
    /// No such endpoint.
    #[error("there is no such webhook")]
    NotFound,
    /// The id exists already.
    #[error("the webhook was created already")]
    AlreadyCreated,
    /// Another secret was created meanwhile.
    #[error("its secret was rotated meanwhile")]
    StaleSecret,
    /// The endpoint is disabled.
    #[error("the webhook is disabled; enable it first")]
    Disabled,
}

impl Decider for Webhook {
    type Command = WebhookCommand;
    type Event = WebhookEvent;
    type State = WebhookState;
    type Rejection = WebhookRejection;

    const CATEGORY: &'static str = Category::Webhook.as_str();

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
        let WebhookState::Known { terms: current, secret: newest, enabled } = state else {
            return match (state, command) {
                (WebhookState::Deleted, WebhookCommand::Delete) => Ok(vec![]),
                _ => Err(WebhookRejection::NotFound),
            };
        };
        Ok(match command {
            WebhookCommand::Update { change } => change.events(current, *enabled),
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
