//! The secrets of the service, and which of them a process needs.

use anyhow::Context;
use ffapi_gateway::Pepper;
use ffapi_nats::{Nats, SignedHeads};
use ffapi_projections::{AnchorSigner, AnchorVerifier};
use serde::{Deserialize, Serialize};

/// The secrets, 32 bytes each in hex. `ffapi up` generates its own.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Secrets {
    /// The master key that encrypts the vault.
    pub(crate) master_key: String,
    /// The pepper for the hashes of API keys.
    pub(crate) pepper: String,
    /// The seed of the ed25519 key that signs the anchors of the audit trail.
    pub(crate) signing_key: String,
    /// Its public key, for processes that only verify signatures. Not a secret.
    pub(crate) verifying_key: String,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets(..)")
    }
}

/// Identifies a field of [`Secrets`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Secret {
    Master,
    Pepper,
    Signing,
    Verifying,
}

impl Secret {
    pub(crate) const ALL: [Self; 4] = [Self::Master, Self::Pepper, Self::Signing, Self::Verifying];

    const fn name(self) -> &'static str {
        match self {
            Self::Master => "master_key",
            Self::Pepper => "pepper",
            Self::Signing => "signing_key",
            Self::Verifying => "verifying_key",
        }
    }
}

impl Secrets {
    fn text(&self, which: Secret) -> &String {
        match which {
            Secret::Master => &self.master_key,
            Secret::Pepper => &self.pepper,
            Secret::Signing => &self.signing_key,
            Secret::Verifying => &self.verifying_key,
        }
    }

    fn text_mut(&mut self, which: Secret) -> &mut String {
        match which {
            Secret::Master => &mut self.master_key,
            Secret::Pepper => &mut self.pepper,
            Secret::Signing => &mut self.signing_key,
            Secret::Verifying => &mut self.verifying_key,
        }
    }

    /// The text of a secret, to be compared with others, never shown.
    pub(crate) fn compared(&self, which: Secret) -> &str {
        self.text(which)
    }

    /// Every secret with the full name of its setting.
    pub(crate) fn named(&mut self) -> [(&'static str, &mut String); 4] {
        let Self { master_key, pepper, signing_key, verifying_key } = self;
        [
            ("secrets.master_key", master_key),
            ("secrets.pepper", pepper),
            ("secrets.signing_key", signing_key),
            ("secrets.verifying_key", verifying_key),
        ]
    }

    /// Drops the secrets that are not needed. If the public key is needed but not set, the signing
    /// key is kept until [`Secrets::derive`] has derived it.
    pub(crate) fn keep_only(&mut self, needed: &[Secret]) {
        let to_derive = needed.contains(&Secret::Verifying) && self.verifying_key.is_empty();
        for which in Secret::ALL {
            let kept = needed.contains(&which) || (which == Secret::Signing && to_derive);
            if !kept {
                self.text_mut(which).clear();
            }
        }
    }

    /// Derives the public key from the signing key, and drops the latter if it is not needed.
    pub(crate) fn derive(&mut self, needed: &[Secret]) {
        if self.verifying_key.is_empty()
            && needed.contains(&Secret::Verifying)
            && let Ok(key) = self.bytes(Secret::Signing)
        {
            self.verifying_key = hex::encode(ffapi_projections::verifying_key(key));
        }
        self.keep_only(needed);
        if !needed.contains(&Secret::Signing) {
            self.signing_key.clear();
        }
    }

    /// Replaces every secret by a placeholder for printing.
    pub(crate) fn hide(&mut self) {
        for which in [Secret::Master, Secret::Pepper, Secret::Signing] {
            let text = self.text_mut(which);
            if !text.is_empty() {
                "(hidden)".clone_into(text);
            }
        }
    }

    fn bytes(&self, which: Secret) -> anyhow::Result<[u8; 32]> {
        let bytes = hex::decode(self.text(which)).ok().and_then(|bytes| bytes.try_into().ok());
        let name = which.name();
        bytes.with_context(|| {
            format!("secrets.{name} must be 64 hex digits (FFAPI_SECRETS__{})", name.to_uppercase())
        })
    }

    /// The master key of the vault.
    pub(crate) fn master(&self) -> anyhow::Result<[u8; 32]> {
        self.bytes(Secret::Master)
    }

    /// The pepper for the hashes of API keys.
    pub(crate) fn pepper(&self) -> anyhow::Result<Pepper> {
        Ok(Pepper::new(self.bytes(Secret::Pepper)?, 1))
    }

    /// The public key that signatures are verified with.
    pub(crate) fn verifying(&self) -> anyhow::Result<[u8; 32]> {
        self.bytes(Secret::Verifying)
    }

    /// The signer of anchors.
    pub(crate) fn signer(&self, nats: &Nats) -> anyhow::Result<AnchorSigner> {
        Ok(AnchorSigner::new(self.bytes(Secret::Signing)?, SignedHeads::new(nats.clone())))
    }

    /// The verifier of anchors.
    pub(crate) fn verifier(&self, nats: &Nats) -> anyhow::Result<AnchorVerifier> {
        AnchorVerifier::new(self.verifying()?, SignedHeads::new(nats.clone()))
            .context("secrets.verifying_key")
    }

    /// Checks that all secrets are set and valid.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        Secret::ALL.into_iter().try_for_each(|which| self.bytes(which).map(|_| ()))
    }

    /// Checks those that are set: a process needs only some, and `ffapi up` makes its own.
    pub(crate) fn check_given(&self) -> anyhow::Result<()> {
        let given = Secret::ALL.into_iter().filter(|which| !self.text(*which).is_empty());
        given.into_iter().try_for_each(|which| self.bytes(which).map(|_| ()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Secrets {
        let key = |digit: &str| digit.repeat(64);
        let verifying_key = String::new();
        Secrets { master_key: key("1"), pepper: key("2"), signing_key: key("3"), verifying_key }
    }

    #[test]
    fn secrets_that_are_not_needed_are_dropped() {
        let mut secrets = all();
        secrets.keep_only(&[Secret::Master]);
        secrets.derive(&[Secret::Master]);
        assert!(secrets.master().is_ok());
        assert!(secrets.pepper().is_err());
        assert_eq!(secrets.signing_key + &secrets.verifying_key, "");
    }

    #[test]
    fn a_verifier_does_not_keep_the_signing_key() {
        let needed = [Secret::Verifying];
        let mut secrets = all();
        secrets.keep_only(&needed);
        secrets.derive(&needed);
        let public = hex::encode(ffapi_projections::verifying_key([0x33; 32]));
        assert_eq!((secrets.signing_key.as_str(), &secrets.verifying_key), ("", &public));
        // With both keys set, the signing key is dropped at once.
        let mut both = all();
        both.verifying_key.clone_from(&public);
        both.keep_only(&needed);
        assert_eq!((both.signing_key.as_str(), &both.verifying_key), ("", &public));
    }
}
