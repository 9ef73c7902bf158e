use std::collections::BTreeSet;

use super::{KeyEvent, KeyTerms, Scope};
use crate::{KeyId, Personal, Timestamp};

/// Where a key stands: all that a gateway asks when a request comes in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum KeyState {
    /// Nobody made it.
    #[default]
    Unknown,
    /// It opens, until it expires.
    Active(Box<ActiveKey>),
    /// It opened once.
    Revoked(Box<ActiveKey>),
}

/// A key and how far it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveKey {
    /// For a person.
    pub name: Personal<String>,
    /// For a person.
    pub description: Option<Personal<String>>,
    /// What opens it: the newest first, the one before while it is in its grace.
    pub secrets: Vec<KeptSecret>,
    /// What it may do.
    pub scopes: BTreeSet<Scope>,
    /// How far it goes.
    pub terms: KeyTerms,
    /// The keys that it was made by, the nearest first.
    pub makers: Vec<KeyId>,
    /// When its newest secret was made.
    pub rotated_at: Timestamp,
    /// When its next rotation was told of, if it was.
    pub rotation_due: Option<Timestamp>,
}

/// What is kept of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptSecret {
    /// Hex HMAC-SHA256 under the pepper.
    pub hash: String,
    /// Which pepper.
    pub pepper_version: u32,
    /// It opens nothing from then on.
    pub until: Option<Timestamp>,
}

impl KeyState {
    /// The key, whether it still opens or not.
    pub fn key(&self) -> Option<&ActiveKey> {
        match self {
            Self::Unknown => None,
            Self::Active(key) | Self::Revoked(key) => Some(key),
        }
    }
}

impl KeyState {
    /// Takes out what is personal: it cannot be read any more.
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
    /// True once its time is over.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.terms.expires_at.is_some_and(|end| end <= now)
    }

    /// The secrets that open it now.
    pub fn open_secrets(&self, now: Timestamp) -> impl Iterator<Item = &KeptSecret> {
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
                KeptSecret { hash: hash.clone(), pepper_version: *pepper_version, until: None };
            KeyState::Active(Box::new(ActiveKey {
                name: name.clone(),
                description: description.clone(),
                secrets: vec![kept],
                scopes: scopes.clone(),
                terms: terms.clone(),
                makers: makers.clone(),
                rotated_at: *at,
                rotation_due: None,
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
                    let kept = KeptSecret {
                        hash: hash.clone(),
                        pepper_version: *pepper_version,
                        until: None,
                    };
                    key.secrets.insert(0, kept);
                    (key.rotated_at, key.rotation_due) = (*at, None);
                }
                KeyEvent::Revoked {} => return KeyState::Revoked(key),
                KeyEvent::Created { .. } => {}
            }
            KeyState::Active(key)
        }
        (state, _) => state,
    }
}
