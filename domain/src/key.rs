//! An API key: who may speak for a tenant.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{Decider, Personal};

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Scope {
    /// See jobs and uploads.
    #[serde(rename = "jobs:read")]
    JobsRead,
    /// Make and change them.
    #[serde(rename = "jobs:write")]
    JobsWrite,
    /// Everything an operator may see and do.
    #[serde(rename = "admin")]
    Admin,
}

/// What happened to a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyEvent {
    /// It was made; its secret was shown once and is not here.
    #[serde(rename = "key.created")]
    Created {
        /// For a person.
        #[serde(default)]
        name: Personal<String>,
        /// Hex HMAC-SHA256 of the secret under the pepper.
        hash: String,
        /// Which pepper.
        pepper_version: u32,
        /// What it may do.
        scopes: BTreeSet<Scope>,
    },
    /// It opens nothing any more.
    #[serde(rename = "key.revoked")]
    Revoked {},
}

/// What may be asked.
#[derive(Debug, Clone)]
pub enum KeyCommand {
    /// Make it.
    Create {
        /// For a person.
        name: Personal<String>,
        /// Hex HMAC-SHA256 of the secret under the pepper.
        hash: String,
        /// Which pepper.
        pepper_version: u32,
        /// What it may do.
        scopes: BTreeSet<Scope>,
    },
    /// End it.
    Revoke,
}

/// Where a key stands: all that a gateway asks when a request comes in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum KeyState {
    /// Nobody made it.
    #[default]
    Unknown,
    /// It opens.
    Active {
        /// Hex HMAC-SHA256 of the secret under the pepper.
        hash: String,
        /// Which pepper.
        pepper_version: u32,
        /// What it may do.
        scopes: BTreeSet<Scope>,
    },
    /// It opened once.
    Revoked,
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
}

impl Decider for Key {
    type Command = KeyCommand;
    type Event = KeyEvent;
    type State = KeyState;
    type Rejection = KeyRejection;

    const CATEGORY: &'static str = "key";

    fn decide(state: &KeyState, command: KeyCommand) -> Result<Vec<KeyEvent>, KeyRejection> {
        match (command, state) {
            (KeyCommand::Create { name, hash, pepper_version, scopes }, KeyState::Unknown) => {
                Ok(vec![KeyEvent::Created { name, hash, pepper_version, scopes }])
            }
            (KeyCommand::Create { .. }, KeyState::Active { .. } | KeyState::Revoked) => {
                Err(KeyRejection::AlreadyCreated)
            }
            (KeyCommand::Revoke, KeyState::Unknown) => Err(KeyRejection::NotFound),
            (KeyCommand::Revoke, KeyState::Revoked) => Ok(vec![]),
            (KeyCommand::Revoke, KeyState::Active { .. }) => Ok(vec![KeyEvent::Revoked {}]),
        }
    }

    fn evolve(_: KeyState, event: &KeyEvent) -> KeyState {
        match event {
            KeyEvent::Created { hash, pepper_version, scopes, .. } => KeyState::Active {
                hash: hash.clone(),
                pepper_version: *pepper_version,
                scopes: scopes.clone(),
            },
            KeyEvent::Revoked {} => KeyState::Revoked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::given;

    fn create() -> KeyCommand {
        KeyCommand::Create {
            name: Personal::Erased,
            hash: "00".to_owned(),
            pepper_version: 1,
            scopes: BTreeSet::from([Scope::Admin]),
        }
    }

    fn created() -> KeyEvent {
        KeyEvent::Created {
            name: Personal::Erased,
            hash: "00".to_owned(),
            pepper_version: 1,
            scopes: BTreeSet::from([Scope::Admin]),
        }
    }

    #[test]
    fn a_key_is_made_once() {
        given::<Key>([]).when(create()).then([created()]);
        given::<Key>([created()]).when(create()).then_rejected(&KeyRejection::AlreadyCreated);
    }

    #[test]
    fn a_revoked_key_stays_revoked() {
        given::<Key>([created()]).when(KeyCommand::Revoke).then([KeyEvent::Revoked {}]);
        given::<Key>([created(), KeyEvent::Revoked {}]).when(KeyCommand::Revoke).then_nothing();
    }

    #[test]
    fn an_unknown_key_cannot_be_revoked() {
        given::<Key>([]).when(KeyCommand::Revoke).then_rejected(&KeyRejection::NotFound);
    }
}
