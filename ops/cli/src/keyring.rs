//! What must not be known, and who needs which of it.

use anyhow::Context;
use ffapi_gateway::Pepper;
use ffapi_nats::{Nats, SignedHeads};
use ffapi_projections::{AnchorSigner, Notary};
use serde::{Deserialize, Serialize};

/// 32 bytes each, in hex. `ffapi up` makes its own.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Secrets {
    /// Encrypts the vault.
    pub(crate) master_key: String,
    /// Hashes API keys.
    pub(crate) pepper: String,
    /// Signs what the audit trail rests on: the seed of an ed25519 key.
    pub(crate) signing_key: String,
    /// The public half of that, for whoever only looks whether a signature holds. No secret.
    pub(crate) verifying_key: String,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets(..)")
    }
}

/// One of them.
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

    /// Each that is set, under its whole name.
    pub(crate) fn named(&mut self) -> [(&'static str, &mut String); 4] {
        let Self { master_key, pepper, signing_key, verifying_key } = self;
        [
            ("secrets.master_key", master_key),
            ("secrets.pepper", pepper),
            ("secrets.signing_key", signing_key),
            ("secrets.verifying_key", verifying_key),
        ]
    }

    /// Forgets what is not needed. Where the public half of the signing key is needed and not set, the
    /// signing key stays until [`Secrets::derive`] has made it of that.
    pub(crate) fn keep_only(&mut self, needed: &[Secret]) {
        let to_derive = needed.contains(&Secret::Verifying) && self.verifying_key.is_empty();
        for which in Secret::ALL {
            let kept = needed.contains(&which) || (which == Secret::Signing && to_derive);
            if !kept {
                self.text_mut(which).clear();
            }
        }
    }

    /// Makes the public half of a signing key that is there, and forgets the key if only that is needed.
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

    /// Puts a word in the place of each that must not be printed.
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

    /// What opens the vault.
    pub(crate) fn master(&self) -> anyhow::Result<[u8; 32]> {
        self.bytes(Secret::Master)
    }

    /// What hashes keys.
    pub(crate) fn pepper(&self) -> anyhow::Result<Pepper> {
        Ok(Pepper::new(self.bytes(Secret::Pepper)?, 1))
    }

    /// What signatures are checked with.
    pub(crate) fn verifying(&self) -> anyhow::Result<[u8; 32]> {
        self.bytes(Secret::Verifying)
    }

    /// Who signs anchors.
    pub(crate) fn signer(&self, nats: &Nats) -> anyhow::Result<AnchorSigner> {
        Ok(AnchorSigner::new(self.bytes(Secret::Signing)?, SignedHeads::new(nats.clone())))
    }

    /// Who says which anchors are ours.
    pub(crate) fn notary(&self, nats: &Nats) -> anyhow::Result<Notary> {
        Notary::new(self.verifying()?, SignedHeads::new(nats.clone()))
            .context("secrets.verifying_key")
    }

    /// Whether all of them are there.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        Secret::ALL.into_iter().try_for_each(|which| self.bytes(which).map(|_| ()))
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
    fn what_is_not_needed_is_forgotten() {
        let mut secrets = all();
        secrets.keep_only(&[Secret::Master]);
        secrets.derive(&[Secret::Master]);
        assert!(secrets.master().is_ok());
        assert!(secrets.pepper().is_err());
        assert_eq!(secrets.signing_key + &secrets.verifying_key, "");
    }

    #[test]
    fn who_only_looks_at_signatures_does_not_keep_what_signs() {
        let needed = [Secret::Verifying];
        let mut secrets = all();
        secrets.keep_only(&needed);
        secrets.derive(&needed);
        let public = hex::encode(ffapi_projections::verifying_key([0x33; 32]));
        assert_eq!((secrets.signing_key.as_str(), &secrets.verifying_key), ("", &public));
        // Told of both, it does not look at the key that signs at all.
        let mut told = all();
        told.verifying_key.clone_from(&public);
        told.keep_only(&needed);
        assert_eq!((told.signing_key.as_str(), &told.verifying_key), ("", &public));
    }
}
