use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{KeyTerms, Scope, TokenId};
use crate::{KeyId, Personal, Timestamp};

/// What happened to a key. Names and fields are the storage format: added to, never changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyEvent {
    /// It was created; its secret was shown once and is not stored.
    #[serde(rename = "key.created")]
    Created {
        /// Display name.
        #[serde(default)]
        name: Personal<String>,
        /// HMAC-SHA256 of the secret under the pepper, in hex.
        hash: String,
        /// Version of the pepper.
        pepper_version: u32,
        /// What it may do.
        scopes: BTreeSet<Scope>,
        /// Description.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<Personal<String>>,
        /// Its limits.
        #[serde(default)]
        terms: KeyTerms,
        /// Its ancestors, the nearest first: its usage counts towards their limits too.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        makers: Vec<KeyId>,
        /// When it was created; the age of its secret counts from here.
        #[serde(default)]
        at: Timestamp,
    },
    /// It was changed; holds the complete new values.
    #[serde(rename = "key.updated")]
    Updated {
        /// Display name.
        name: Personal<String>,
        /// Description.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<Personal<String>>,
        /// What it may do.
        scopes: BTreeSet<Scope>,
        /// Its limits.
        terms: KeyTerms,
    },
    /// Its expiry changed.
    #[serde(rename = "key.extended")]
    Extended {
        /// The new expiry; `None` for never.
        #[serde(default)]
        expires_at: Option<Timestamp>,
    },
    /// Its secret will soon be rotated automatically.
    #[serde(rename = "key.rotation_due")]
    RotationDue {
        /// When the rotation is due.
        due: Timestamp,
    },
    /// Its secret was rotated.
    #[serde(rename = "key.rotated")]
    Rotated {
        /// HMAC-SHA256 of the new secret under the pepper, in hex.
        hash: String,
        /// Version of the pepper.
        pepper_version: u32,
        /// Until when the old secret remains valid.
        old_until: Timestamp,
        /// When it was rotated.
        at: Timestamp,
    },
    /// One token that was created with it was revoked: requests with the token are rejected.
    #[serde(rename = "key.token_revoked")]
    TokenRevoked {
        /// The token.
        token: TokenId,
        /// When the token would have expired.
        expires_at: Timestamp,
        /// When it was revoked.
        at: Timestamp,
    },
    /// It was revoked: requests with it are rejected.
    #[serde(rename = "key.revoked")]
    Revoked {},
}
