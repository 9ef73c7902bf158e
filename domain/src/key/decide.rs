use std::{collections::BTreeSet, time::Duration};

use super::{
    ActiveKey, Grant, KeyChange, KeyEvent, KeyState, KeyTerms, MAX_KEY_GENERATIONS,
    MAX_REVOKED_TOKENS, Scope, TermsRejection, TokenId, state,
};
use crate::{Category, Decider, Personal, Timestamp};

/// A command for a key.
#[derive(Debug, Clone)]
pub enum KeyCommand {
    /// Create it.
    Create {
        /// Display name.
        name: Personal<String>,
        /// Description.
        description: Option<Personal<String>>,
        /// HMAC-SHA256 of the secret under the pepper, in hex.
        hash: String,
        /// Version of the pepper.
        pepper_version: u32,
        /// What it may do.
        scopes: BTreeSet<Scope>,
        /// Its limits.
        terms: KeyTerms,
        /// The permissions of the caller that creates it.
        by: Grant,
        /// The current time.
        at: Timestamp,
    },
    /// Change it.
    Update {
        /// The changes.
        change: Box<KeyChange>,
        /// The permissions of the caller that changes it.
        by: Grant,
    },
    /// Change its expiry.
    Extend {
        /// The new expiry; `None` for never.
        expires_at: Option<Timestamp>,
        /// The permissions of the caller that changes it.
        by: Grant,
        /// The current time.
        at: Timestamp,
    },
    /// Replace its secret.
    Rotate {
        /// HMAC-SHA256 of the new secret under the pepper, in hex.
        hash: String,
        /// Version of the pepper.
        pepper_version: u32,
        /// How long the old secret remains valid.
        grace: Duration,
        /// Rotate only if the current secret was created at this time; a newer one is kept.
        replaces: Option<Timestamp>,
        /// The permissions of the caller that rotates it.
        by: Grant,
        /// The current time.
        at: Timestamp,
    },
    /// Announce an automatic rotation.
    AnnounceRotation {
        /// When it is due.
        due: Timestamp,
    },
    /// Revoke one token that was created with it.
    RevokeToken {
        /// The token.
        token: TokenId,
        /// When the token expires.
        expires_at: Timestamp,
        /// The current time.
        at: Timestamp,
    },
    /// Revoke it.
    Revoke {
        /// The permissions of the caller that revokes it.
        by: Grant,
    },
}

/// The key decider.
#[derive(Debug)]
pub struct Key;

/// Why a key command is rejected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyRejection {
    /// The id exists already.
    #[error("the key exists already")]
    AlreadyCreated,
    /// No such key.
    #[error("there is no such key")]
    NotFound,
    /// It is revoked for good.
    #[error("the key is revoked; make another one")]
    Revoked,
    /// Its chain of parent keys is too long.
    #[error("keys can create keys over at most {MAX_KEY_GENERATIONS} generations")]
    TooManyMakers,
    /// It has too many revoked tokens that have not expired.
    #[error(
        "{MAX_REVOKED_TOKENS} tokens of this key are revoked and have not expired; revoke the key, \
         which ends all of its tokens"
    )]
    TooManyRevokedTokens,
    /// Its expiry is not in the future.
    #[error("`expires_at` is not in the future")]
    EndsInThePast,
    /// It would exceed the permissions of the caller.
    #[error(transparent)]
    Beyond(#[from] TermsRejection),
}

type Decision = Result<Vec<KeyEvent>, KeyRejection>;

impl Decider for Key {
    type Command = KeyCommand;
    type Event = KeyEvent;
    type State = KeyState;
    type Rejection = KeyRejection;

    const CATEGORY: &'static str = Category::Key.as_str();

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
                // The caller that gets the new secret can do whatever the key can.
                by.covers(&key.scopes, &key.terms)?;
                let old_until = at.plus(grace);
                Ok(vec![KeyEvent::Rotated { hash, pepper_version, old_until, at }])
            }
            KeyCommand::RevokeToken { token, expires_at, at } => {
                revoke_token(key, token, expires_at, at)
            }
            KeyCommand::AnnounceRotation { due } if key.rotation_due == Some(due) => Ok(vec![]),
            KeyCommand::AnnounceRotation { due } => Ok(vec![KeyEvent::RotationDue { due }]),
            // Revoking only removes access: the key's scopes matter, its terms do not.
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
    if by.line.len() > MAX_KEY_GENERATIONS {
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

fn revoke_token(key: &ActiveKey, token: TokenId, expires_at: Timestamp, at: Timestamp) -> Decision {
    if expires_at <= at || key.revoked_tokens.contains_key(&token) {
        return Ok(vec![]);
    }
    if key.revoked_tokens.values().filter(|end| **end > at).count() >= MAX_REVOKED_TOKENS {
        return Err(KeyRejection::TooManyRevokedTokens);
    }
    Ok(vec![KeyEvent::TokenRevoked { token, expires_at, at }])
}

fn update(key: &ActiveKey, change: KeyChange, by: &Grant) -> Decision {
    // Neither the old key nor the new one may exceed the permissions of the caller.
    by.covers(&key.scopes, &key.terms)?;
    let (name, description, scopes, terms) = change.apply_to(key);
    by.covers(&scopes, &terms)?;
    let same = (&name, &description, &scopes, &terms)
        == (&key.name, &key.description, &key.scopes, &key.terms);
    if same {
        return Ok(vec![]);
    }
    Ok(vec![KeyEvent::Updated { name, description, scopes, terms }])
}
