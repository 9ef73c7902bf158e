use std::collections::{BTreeMap, BTreeSet};

use super::{KeyEvent, KeyTerms, Scope, TokenId};
use crate::{KeyId, Personal, Timestamp};

/// State of a key: all that a gateway needs to authenticate a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum KeyState {
    /// Not created.
    #[default]
    Unknown,
    /// Accepted, until it expires.
    Active(Box<ActiveKey>),
    /// Not accepted any more.
    Revoked(Box<ActiveKey>),
}

/// A key and its permissions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveKey {
    /// Display name.
    pub name: Personal<String>,
    /// Description.
    pub description: Option<Personal<String>>,
    /// Its secrets: the current one first, then the previous one during its grace period.
    pub secrets: Vec<StoredSecret>,
    /// What it may do.
    pub scopes: BTreeSet<Scope>,
    /// Its limits.
    pub terms: KeyTerms,
    /// Its ancestors, the nearest first.
    pub makers: Vec<KeyId>,
    /// When its current secret was created.
    pub rotated_at: Timestamp,
    /// When its next rotation is due, if that was announced.
    pub rotation_due: Option<Timestamp>,
    /// The tokens of it that were revoked, with the time at which they would have expired. Those that had
    /// expired when the last one was revoked are not in it, and none of a key that was revoked itself.
    pub revoked_tokens: BTreeMap<TokenId, Timestamp>,
}

/// What is stored of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSecret {
    /// HMAC-SHA256 under the pepper, in hex.
    pub hash: String,
    /// Version of the pepper.
    pub pepper_version: u32,
    /// When it stops being valid; `None` for the current secret.
    pub until: Option<Timestamp>,
}

impl KeyState {
    /// The key, whether it is still accepted or not.
    pub fn key(&self) -> Option<&ActiveKey> {
        match self {
            Self::Unknown => None,
            Self::Active(key) | Self::Revoked(key) => Some(key),
        }
    }
}

impl KeyState {
    /// Removes the personal fields, which cannot be read any more.
    pub fn erase(&mut self) {
        match self {
            Self::Unknown => {}
            Self::Active(key) | Self::Revoked(key) => {
                key.name = Personal::Erased;
                key.description = None;
            }
        }
    }
}

impl ActiveKey {
    /// True once it has expired.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.terms.expires_at.is_some_and(|end| end <= now)
    }

    /// The secrets that are valid at this time.
    pub fn valid_secrets(&self, now: Timestamp) -> impl Iterator<Item = &StoredSecret> {
        self.secrets.iter().filter(move |kept| kept.until.is_none_or(|until| until > now))
    }
}

pub(super) fn evolve(state: KeyState, event: &KeyEvent) -> KeyState {
    match (state, event) {
        (
            KeyState::Unknown,
            KeyEvent::Created {
                name,
                hash,
                pepper_version,
                scopes,
                description,
                terms,
                makers,
                at,
            },
        ) => {
            let kept =
                StoredSecret { hash: hash.clone(), pepper_version: *pepper_version, until: None };
            KeyState::Active(Box::new(ActiveKey {
                name: name.clone(),
                description: description.clone(),
                secrets: vec![kept],
                scopes: scopes.clone(),
                terms: terms.clone(),
                makers: makers.clone(),
                rotated_at: *at,
                rotation_due: None,
                revoked_tokens: BTreeMap::new(),
            }))
        }
        (KeyState::Active(mut key), event) => {
            match event {
                KeyEvent::Updated { name, description, scopes, terms } => {
                    key.name = name.clone();
                    key.description.clone_from(description);
                    key.scopes.clone_from(scopes);
                    key.terms = terms.clone();
                }
                KeyEvent::Extended { expires_at } => key.terms.expires_at = *expires_at,
                KeyEvent::RotationDue { due } => key.rotation_due = Some(*due),
                KeyEvent::Rotated { hash, pepper_version, old_until, at } => {
                    key.secrets.truncate(1);
                    for old in &mut key.secrets {
                        old.until = Some(*old_until);
                    }
                    let kept = StoredSecret {
                        hash: hash.clone(),
                        pepper_version: *pepper_version,
                        until: None,
                    };
                    key.secrets.insert(0, kept);
                    (key.rotated_at, key.rotation_due) = (*at, None);
                }
                KeyEvent::TokenRevoked { token, expires_at, at } => {
                    key.revoked_tokens.retain(|_, end| *end > *at);
                    key.revoked_tokens.insert(token.clone(), *expires_at);
                }
                KeyEvent::Revoked {} => {
                    // None is accepted any more. Gateways keep revoked keys in memory.
                    key.revoked_tokens.clear();
                    return KeyState::Revoked(key);
                }
                KeyEvent::Created { .. } => {}
            }
            KeyState::Active(key)
        }
        (state, _) => state,
    }
}
