use std::str::FromStr;

use age::{Identity, Recipient, secrecy::ExposeSecret, x25519};

use crate::BackupError;

/// The public keys to which backups are encrypted. They cannot be decrypted with these.
#[derive(Clone)]
pub struct Recipients(Vec<x25519::Recipient>);

/// The private keys that decrypt backups.
#[derive(Clone)]
pub struct Identities(Vec<x25519::Identity>);

impl std::fmt::Debug for Recipients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(ToString::to_string)).finish()
    }
}

impl std::fmt::Debug for Identities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identities({})", self.0.len())
    }
}

impl Recipients {
    /// Parses public keys like `age1…`.
    ///
    /// # Errors
    /// When there is none, or one is invalid.
    pub fn parse<T: AsRef<str>>(keys: &[T]) -> Result<Self, BackupError> {
        if keys.is_empty() {
            return Err(BackupError::refused(
                "backups are encrypted and need a recipient: create a key with `ffapi backup key` \
                 and set `backup.recipients` to its public part",
            ));
        }
        let parse = |key: &T| {
            let key = key.as_ref().trim();
            x25519::Recipient::from_str(key).map_err(|_| {
                BackupError::refused(format!("`{key}` is no public key of age, like age1…"))
            })
        };
        Ok(Self(keys.iter().map(parse).collect::<Result<_, _>>()?))
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &dyn Recipient> {
        self.0.iter().map(|recipient| recipient as &dyn Recipient)
    }
}

impl Identities {
    /// Parses an identity file as `age-keygen` and `ffapi backup key` write it.
    ///
    /// # Errors
    /// When it has no identity, or an invalid one.
    pub fn parse(file: &str) -> Result<Self, BackupError> {
        let lines = file.lines().map(str::trim);
        let keys = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        // The line itself is a secret.
        let parse = |line: &str| {
            x25519::Identity::from_str(line)
                .map_err(|_| BackupError::refused("the identity file has an invalid line"))
        };
        let identities = keys.map(parse).collect::<Result<Vec<_>, _>>()?;
        if identities.is_empty() {
            return Err(BackupError::refused("the identity file has no AGE-SECRET-KEY-1…"));
        }
        Ok(Self(identities))
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &dyn Identity> {
        self.0.iter().map(|identity| identity as &dyn Identity)
    }
}

/// A new key: the contents of its identity file, and the recipient.
pub fn generate_key() -> (String, String) {
    let identity = x25519::Identity::generate();
    let recipient = identity.to_public().to_string();
    let file = format!("# public key: {recipient}\n{}\n", identity.to_string().expose_secret());
    (file, recipient)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_key_is_parsed_and_others_are_explained() {
        let (file, recipient) = generate_key();
        assert!(Identities::parse(&file).is_ok());
        assert!(Recipients::parse(&[recipient]).is_ok());
        assert!(Identities::parse("# nothing\n").is_err());
        let wrong = Recipients::parse(&["ssh-rsa AAAA"]).unwrap_err().to_string();
        assert!(wrong.contains("age1"), "{wrong}");
        let none = Recipients::parse::<String>(&[]).unwrap_err().to_string();
        assert!(none.contains("ffapi backup key"), "{none}");
    }
}
