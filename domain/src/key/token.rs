use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};

/// Identifies a token that was created with a key: the beginning of the SHA-256 of what is signed, in hex.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenId(String);

/// Maximum number of revoked tokens of a key that have not expired: every gateway holds them in memory.
pub const MAX_REVOKED_TOKENS: usize = 1_000;

impl TokenId {
    /// Takes the first 16 bytes of the digest.
    pub fn from_digest(digest: &[u8; 32]) -> Self {
        let mut text = String::with_capacity(32);
        for byte in digest.iter().take(16) {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        Self(text)
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
