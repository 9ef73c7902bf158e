//! The secrets of the service, and which of them a process needs.

use anyhow::Context;
use ffapi_gateway::{Pepper, Peppers};
use ffapi_nats::{MasterKeys, Nats, SignedHeads};
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
    /// Those that others may use already, while secrets are rotated.
    pub(crate) next: Rotated,
    /// Those that were used before, as long as something depends on them.
    pub(crate) previous: Rotated,
}

/// Secrets that are accepted beside the current ones.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Rotated {
    pub(crate) master_key: String,
    pub(crate) pepper: String,
    /// Several are separated by commas.
    pub(crate) verifying_key: String,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets(..)")
    }
}

impl std::fmt::Debug for Rotated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rotated(..)")
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
    pub(crate) fn named(&mut self) -> [(&'static str, &mut String); 10] {
        let Self { master_key, pepper, signing_key, verifying_key, next, previous } = self;
        [
            ("secrets.master_key", master_key),
            ("secrets.pepper", pepper),
            ("secrets.signing_key", signing_key),
            ("secrets.verifying_key", verifying_key),
            ("secrets.next.master_key", &mut next.master_key),
            ("secrets.next.pepper", &mut next.pepper),
            ("secrets.next.verifying_key", &mut next.verifying_key),
            ("secrets.previous.master_key", &mut previous.master_key),
            ("secrets.previous.pepper", &mut previous.pepper),
            ("secrets.previous.verifying_key", &mut previous.verifying_key),
        ]
    }

    /// The secrets of a rotation, each with the current one that it stands beside.
    fn rotated(&self) -> [(Secret, &'static str, &String); 6] {
        let Self { next, previous, .. } = self;
        [
            (Secret::Master, "next.master_key", &next.master_key),
            (Secret::Pepper, "next.pepper", &next.pepper),
            (Secret::Verifying, "next.verifying_key", &next.verifying_key),
            (Secret::Master, "previous.master_key", &previous.master_key),
            (Secret::Pepper, "previous.pepper", &previous.pepper),
            (Secret::Verifying, "previous.verifying_key", &previous.verifying_key),
        ]
    }

    /// The accepted secrets beside a current one.
    fn others(&self, of: Secret) -> anyhow::Result<Vec<[u8; 32]>> {
        let others = self.rotated().into_iter().filter(|(secret, ..)| *secret == of);
        let listed = others.flat_map(|(_, name, text)| {
            let keys = text.split(',').map(str::trim).filter(|key| !key.is_empty());
            keys.map(move |key| parse(name, key))
        });
        listed.collect()
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
        for rotated in [&mut self.next, &mut self.previous] {
            let Rotated { master_key, pepper, verifying_key } = rotated;
            for (which, text) in [
                (Secret::Master, master_key),
                (Secret::Pepper, pepper),
                (Secret::Verifying, verifying_key),
            ] {
                if !needed.contains(&which) {
                    text.clear();
                }
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
        for rotated in [&mut self.next, &mut self.previous] {
            for text in [&mut rotated.master_key, &mut rotated.pepper] {
                if !text.is_empty() {
                    "(hidden)".clone_into(text);
                }
            }
        }
    }

    fn bytes(&self, which: Secret) -> anyhow::Result<[u8; 32]> {
        parse(which.name(), self.text(which))
    }

    /// The master keys of the vault.
    pub(crate) fn master(&self) -> anyhow::Result<MasterKeys> {
        Ok(MasterKeys {
            current: self.bytes(Secret::Master)?,
            others: self.others(Secret::Master)?,
        })
    }

    /// The pepper for the hashes of API keys.
    pub(crate) fn pepper(&self) -> anyhow::Result<Pepper> {
        Ok(Pepper::new(self.bytes(Secret::Pepper)?))
    }

    /// The peppers that hashes are checked with.
    pub(crate) fn peppers(&self) -> anyhow::Result<Peppers> {
        let of = |name, text: &str| {
            let key = Some(text).filter(|text| !text.is_empty());
            key.map(|text| parse(name, text).map(Pepper::new)).transpose()
        };
        Ok(Peppers {
            current: self.pepper()?,
            next: of("next.pepper", &self.next.pepper)?,
            previous: of("previous.pepper", &self.previous.pepper)?,
        })
    }

    /// The public key that signatures are verified with.
    pub(crate) fn verifying(&self) -> anyhow::Result<[u8; 32]> {
        self.bytes(Secret::Verifying)
    }

    /// The public keys that signatures may be verified with; none if none is set.
    pub(crate) fn all_verifying(&self) -> anyhow::Result<Vec<[u8; 32]>> {
        let Ok(current) = self.verifying() else { return Ok(vec![]) };
        let others = self.others(Secret::Verifying)?;
        Ok(std::iter::once(current).chain(others).collect())
    }

    /// The signer of anchors.
    pub(crate) fn signer(&self, nats: &Nats) -> anyhow::Result<AnchorSigner> {
        Ok(AnchorSigner::new(self.bytes(Secret::Signing)?, SignedHeads::new(nats.clone())))
    }

    /// The verifier of anchors.
    pub(crate) fn verifier(&self, nats: &Nats) -> anyhow::Result<AnchorVerifier> {
        self.verifying()?;
        let keys = self.all_verifying()?;
        AnchorVerifier::new(keys, SignedHeads::new(nats.clone())).context("secrets.verifying_key")
    }

    /// Checks that all secrets are set and valid.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        Secret::ALL.into_iter().try_for_each(|which| self.bytes(which).map(|_| ()))
    }

    /// Checks those that are set: a process needs only some, and `ffapi up` makes its own.
    pub(crate) fn check_given(&self) -> anyhow::Result<()> {
        let given = Secret::ALL.into_iter().filter(|which| !self.text(*which).is_empty());
        given.into_iter().try_for_each(|which| self.bytes(which).map(|_| ()))?;
        Secret::ALL.into_iter().try_for_each(|which| self.others(which).map(|_| ()))
    }
}

fn parse(name: &str, text: &str) -> anyhow::Result<[u8; 32]> {
    let bytes = hex::decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.with_context(|| {
        let variable = name.to_uppercase().replace('.', "__");
        format!("secrets.{name} must be 64 hex digits (FFAPI_SECRETS__{variable})")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Secrets {
        let key = |digit: &str| digit.repeat(64);
        let previous = Rotated { master_key: key("4"), pepper: key("5"), ..Rotated::default() };
        let (master_key, pepper, signing_key) = (key("1"), key("2"), key("3"));
        Secrets { master_key, pepper, signing_key, previous, ..Secrets::default() }
    }

    #[test]
    fn secrets_that_are_not_needed_are_dropped() {
        let mut secrets = all();
        secrets.keep_only(&[Secret::Master]);
        secrets.derive(&[Secret::Master]);
        assert_eq!(secrets.master().unwrap().others, [[0x44; 32]]);
        assert!(secrets.pepper().is_err());
        assert_eq!(secrets.previous.pepper, "");
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
