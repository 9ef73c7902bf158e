use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A tenant's name: `[a-z0-9][a-z0-9-]{0,62}`, immutable, one subject token.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tenant(String);

/// The text is not a valid tenant name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a tenant is 1 to 63 of a-z, 0-9 and `-`, and starts with a letter or digit")]
pub struct BadTenant;

impl Tenant {
    /// The tenant's name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tenant {
    type Err = BadTenant;

    fn from_str(text: &str) -> Result<Self, BadTenant> {
        let is_alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        match text.as_bytes() {
            [first, rest @ ..]
                if is_alphanumeric(*first)
                    && rest.len() < 63
                    && rest.iter().all(|&b| is_alphanumeric(b) || b == b'-') =>
            {
                Ok(Self(text.to_owned()))
            }
            _ => Err(BadTenant),
        }
    }
}

impl TryFrom<String> for Tenant {
    type Error = BadTenant;

    fn try_from(text: String) -> Result<Self, BadTenant> {
        text.parse()
    }
}

impl From<Tenant> for String {
    fn from(tenant: Tenant) -> Self {
        tenant.0
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_is_one_safe_subject_token() {
        for good in ["a", "acme", "acme-2", "0-0", &"x".repeat(63)] {
            assert!(good.parse::<Tenant>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "Acme", "a.b", "a b", "a*", "ä", &"x".repeat(64)] {
            assert_eq!(bad.parse::<Tenant>(), Err(BadTenant), "{bad}");
        }
    }
}
