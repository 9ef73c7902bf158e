use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{KeyTerms, Scope};
use crate::{KeyId, Personal, Timestamp};

/// What happened to a key. Names and fields are the storage format: added to, never changed.
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
        /// For a person.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<Personal<String>>,
        /// How far it goes.
        #[serde(default)]
        terms: KeyTerms,
        /// The keys that it was made by, the nearest first: it draws on what they have.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        makers: Vec<KeyId>,
        /// When; its secret's age counts from here.
        #[serde(default)]
        at: Timestamp,
    },
    /// It is called otherwise, or may other things; all of it as it is from now on.
    #[serde(rename = "key.updated")]
    Updated {
        /// For a person.
        name: Personal<String>,
        /// For a person.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<Personal<String>>,
        /// What it may do.
        scopes: BTreeSet<Scope>,
        /// How far it goes.
        terms: KeyTerms,
    },
    /// It ends at another time.
    #[serde(rename = "key.extended")]
    Extended {
        /// None for never.
        #[serde(default)]
        expires_at: Option<Timestamp>,
    },
    /// Its secret will be replaced soon, by itself.
    #[serde(rename = "key.rotation_due")]
    RotationDue {
        /// When.
        due: Timestamp,
    },
    /// It has another secret.
    #[serde(rename = "key.rotated")]
    Rotated {
        /// Hex HMAC-SHA256 of the new secret under the pepper.
        hash: String,
        /// Which pepper.
        pepper_version: u32,
        /// Until when the old secret opens as well.
        old_until: Timestamp,
        /// When.
        at: Timestamp,
    },
    /// It opens nothing any more.
    #[serde(rename = "key.revoked")]
    Revoked {},
}
