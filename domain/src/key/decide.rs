use std::{collections::BTreeSet, time::Duration};

use super::{
    ActiveKey, GENERATIONS, Grant, KeyChange, KeyEvent, KeyState, KeyTerms, Scope, TermsRejection,
    state,
};
use crate::{Decider, Personal, Timestamp};

/// What may be asked of a key.
#[derive(Debug, Clone)]
pub enum KeyCommand {
    /// Make it.
    Create {
        /// For a person.
        name: Personal<String>,
        /// For a person.
        description: Option<Personal<String>>,
        /// Hex HMAC-SHA256 of the secret under the pepper.
        hash: String,
        /// Which pepper.
        pepper_version: u32,
        /// What it may do.
        scopes: BTreeSet<Scope>,
        /// How far it goes.
        terms: KeyTerms,
        /// What the maker has.
        by: Grant,
        /// Now.
        at: Timestamp,
    },
    /// Change it.
    Update {
        /// How.
        change: Box<KeyChange>,
        /// What the changer has.
        by: Grant,
    },
    /// Move its end.
    Extend {
        /// None for never.
        expires_at: Option<Timestamp>,
        /// What the changer has.
        by: Grant,
        /// Now.
        at: Timestamp,
    },
    /// Give it another secret.
    Rotate {
        /// Hex HMAC-SHA256 of the new secret under the pepper.
        hash: String,
        /// Which pepper.
        pepper_version: u32,
        /// How long the old one opens as well.
        grace: Duration,
        /// Only the secret that was made then: one that is newer stays.
        replaces: Option<Timestamp>,
        /// What the changer has.
        by: Grant,
        /// Now.
        at: Timestamp,
    },
    /// Tell that it will be rotated.
    AnnounceRotation {
        /// When.
        due: Timestamp,
    },
    /// End it.
    Revoke {
        /// What the revoker has.
        by: Grant,
    },
}

/// The key decider.
#[derive(Debug)]
pub struct Key;

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyRejection {
    /// The id is taken.
    #[error("the key exists already")]
    AlreadyCreated,
    /// No such key.
    #[error("there is no such key")]
    NotFound,
    /// It is revoked, and stays so.
    #[error("the key is revoked; make another one")]
    Revoked,
    /// Its makers stand in too long a line.
    #[error("a key that was made by a key that was made by a key … makes none after {GENERATIONS}")]
    TooManyMakers,
    /// Its end is not in the future.
    #[error("`expires_at` is not in the future")]
    EndsInThePast,
    /// More than whoever asks has.
    #[error(transparent)]
    Beyond(#[from] TermsRejection),
}

type Decision = Result<Vec<KeyEvent>, KeyRejection>;

impl Decider for Key {
    type Command = KeyCommand;
    type Event = KeyEvent;
    type State = KeyState;
    type Rejection = KeyRejection;

    const CATEGORY: &'static str = "key";

    fn decide(state: &KeyState, command: KeyCommand) -> Decision {
        let key = match (state, &command) {
            (KeyState::Unknown, KeyCommand::Create { .. }) => return create(command),
            (KeyState::Unknown, _) => return Err(KeyRejection::NotFound),
            (_, KeyCommand::Create { .. }) => return Err(KeyRejection::AlreadyCreated),
            (KeyState::Revoked(_), KeyCommand::Revoke { .. }) => return Ok(vec![]),
            (KeyState::Revoked(_), _) => return Err(KeyRejection::Revoked),
            (KeyState::Active(key), _) => key,
        };
        match command {
            KeyCommand::Create { .. } => Err(KeyRejection::AlreadyCreated),
            KeyCommand::Update { change, by } => update(key, *change, &by),
            KeyCommand::Extend { expires_at, by, at } => {
                let terms = KeyTerms { expires_at, ..key.terms.clone() };
                by.covers(&key.scopes, &terms)?;
                if expires_at.is_some_and(|end| end <= at) {
                    return Err(KeyRejection::EndsInThePast);
                }
                if expires_at == key.terms.expires_at {
                    return Ok(vec![]);
                }
                Ok(vec![KeyEvent::Extended { expires_at }])
            }
            KeyCommand::Rotate { replaces: Some(old), .. } if old != key.rotated_at => Ok(vec![]),
            KeyCommand::Rotate { hash, pepper_version, grace, by, at, .. } => {
                // Who gets its secret can do what it can.
                by.covers(&key.scopes, &key.terms)?;
                let old_until = at.plus(grace);
                Ok(vec![KeyEvent::Rotated { hash, pepper_version, old_until, at }])
            }
            KeyCommand::AnnounceRotation { due } if key.rotation_due == Some(due) => Ok(vec![]),
            KeyCommand::AnnounceRotation { due } => Ok(vec![KeyEvent::RotationDue { due }]),
            // Fewer open doors: its terms do not matter, what it may do does.
            KeyCommand::Revoke { by } => {
                by.covers(&key.scopes, &by.terms)?;
                Ok(vec![KeyEvent::Revoked {}])
            }
        }
    }

    fn evolve(state: KeyState, event: &KeyEvent) -> KeyState {
        state::evolve(state, event)
    }
}

fn create(command: KeyCommand) -> Decision {
    let KeyCommand::Create { name, description, hash, pepper_version, scopes, terms, by, at } =
        command
    else {
        return Err(KeyRejection::NotFound);
    };
    by.covers(&scopes, &terms)?;
    if terms.expires_at.is_some_and(|end| end <= at) {
        return Err(KeyRejection::EndsInThePast);
    }
    if by.line.len() > GENERATIONS {
        return Err(KeyRejection::TooManyMakers);
    }
    Ok(vec![KeyEvent::Created {
        name,
        hash,
        pepper_version,
        scopes,
        description,
        terms,
        makers: by.line,
        at,
    }])
}

fn update(key: &ActiveKey, change: KeyChange, by: &Grant) -> Decision {
    // Neither may it have been more than the changer, nor become it.
    by.covers(&key.scopes, &key.terms)?;
    let (name, description, scopes, terms) = change.onto(key);
    by.covers(&scopes, &terms)?;
    let same = (&name, &description, &scopes, &terms)
        == (&key.name, &key.description, &key.scopes, &key.terms);
    if same {
        return Ok(vec![]);
    }
    Ok(vec![KeyEvent::Updated { name, description, scopes, terms }])
}
