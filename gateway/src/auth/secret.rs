use std::fmt;

use ffapi_domain::KeyId;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;

/// The configured secret under which keys are hashed: without it, the hashes in a stolen log are
/// useless.
#[derive(Clone)]
pub struct Pepper {
    secret: [u8; 32],
    /// Tells hashes under different peppers apart; computed from the pepper.
    pub version: u32,
}

/// The peppers that hashes and signatures are checked with, while they are rotated.
#[derive(Debug, Clone)]
pub struct Peppers {
    /// The one that new keys are hashed, and tokens signed, with.
    pub current: Pepper,
    /// The one that other gateways may use already.
    pub next: Option<Pepper>,
    /// The one that was used before.
    pub previous: Option<Pepper>,
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pepper(v{})", self.version)
    }
}

/// A new key: the secret that is shown once, and the hash that is stored.
pub struct Minted {
    /// The public id.
    pub id: KeyId,
    /// The secret as the client sends it, `ffapi_…`; shown once and never stored.
    pub secret: String,
    /// Hex HMAC-SHA-256 of the secret part under the pepper; stored.
    pub hash: String,
    /// The version of the pepper; stored.
    pub pepper_version: u32,
}

impl fmt::Debug for Minted {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Minted").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Keeps the version apart from every other use of the pepper.
const VERSION_DOMAIN: &[u8] = b"ffapi pepper version\n";
const PREFIX: &str = "ffapi_";
const ID_BYTES: usize = 16;
const SECRET_BYTES: usize = 32;
const CHECKSUM_BYTES: usize = 4;
/// Length of 52 bytes in base 62.
const DIGITS: usize = 70;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

impl Pepper {
    /// A pepper of 32 secret bytes.
    pub fn new(secret: [u8; 32]) -> Self {
        let digest = Sha256::new().chain_update(VERSION_DOMAIN).chain_update(secret).finalize();
        let version =
            digest.iter().take(4).fold(0, |version, byte| version << 8 | u32::from(*byte));
        Self { secret, version }
    }

    fn hash(&self, secret: &[u8]) -> Option<[u8; 32]> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).ok()?;
        mac.update(secret);
        Some(mac.finalize().into_bytes().into())
    }

    /// Signs a message with HMAC-SHA-256.
    pub(crate) fn sign(&self, message: &[u8]) -> Option<[u8; 32]> {
        self.hash(message)
    }

    /// Verifies a signature in constant time.
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        self.sign(message).is_some_and(|ours| bool::from(ours.as_slice().ct_eq(signature)))
    }

    /// True if this secret has this hash; compares in constant time.
    pub(crate) fn matches(&self, secret: &[u8], hash: &str) -> bool {
        let kept = hex::decode(hash).unwrap_or_default();
        self.hash(secret).is_some_and(|ours| bool::from(ours.as_slice().ct_eq(&kept)))
    }
}

impl Peppers {
    fn all(&self) -> impl Iterator<Item = &Pepper> {
        [Some(&self.current), self.next.as_ref(), self.previous.as_ref()].into_iter().flatten()
    }

    /// True if this secret has this hash under any of them.
    pub(crate) fn matches(&self, secret: &[u8], hash: &str) -> bool {
        self.all().any(|pepper| pepper.matches(secret, hash))
    }

    /// Verifies a signature by any of them.
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        self.all().any(|pepper| pepper.verify(message, signature))
    }
}

impl From<Pepper> for Peppers {
    fn from(current: Pepper) -> Self {
        Self { current, next: None, previous: None }
    }
}

/// Creates a key from 32 random bytes.
pub fn mint(pepper: &Pepper, id: KeyId, random: [u8; 32]) -> Minted {
    let mut bytes = [id.uuid().as_bytes().as_slice(), &random].concat();
    bytes.extend(checksum(&bytes));
    Minted {
        id,
        secret: format!("{PREFIX}{}", encode(&bytes)),
        hash: pepper.hash(&random).map(hex::encode).unwrap_or_default(),
        pepper_version: pepper.version,
    }
}

/// Parses a key that was sent into its public id and secret part; none if it is malformed.
pub(crate) fn parse(text: &str) -> Option<(KeyId, Vec<u8>)> {
    let bytes = decode(text.strip_prefix(PREFIX)?)?;
    let (body, check) = bytes.split_at_checked(ID_BYTES + SECRET_BYTES)?;
    if checksum(body) != check {
        return None;
    }
    let (id, secret) = body.split_at_checked(ID_BYTES)?;
    Some((KeyId::from_uuid(Uuid::from_slice(id).ok()?), secret.to_vec()))
}

fn checksum(bytes: &[u8]) -> Vec<u8> {
    Sha256::digest(bytes).iter().take(CHECKSUM_BYTES).copied().collect()
}

/// Encodes a big-endian number in base 62, always as 70 digits.
fn encode(bytes: &[u8]) -> String {
    let mut number = bytes.to_vec();
    let mut digits = Vec::with_capacity(DIGITS);
    for _ in 0..DIGITS {
        let mut rest = 0_u32;
        for byte in &mut number {
            let value = rest * 256 + u32::from(*byte);
            *byte = u8::try_from(value / 62).unwrap_or(0);
            rest = value % 62;
        }
        let digit = usize::try_from(rest).ok().and_then(|rest| ALPHABET.get(rest));
        digits.push(char::from(digit.copied().unwrap_or(b'0')));
    }
    digits.iter().rev().collect()
}

fn decode(text: &str) -> Option<Vec<u8>> {
    if text.len() != DIGITS {
        return None;
    }
    let mut number = vec![0_u8; ID_BYTES + SECRET_BYTES + CHECKSUM_BYTES];
    for digit in text.bytes() {
        let mut carry = u32::try_from(ALPHABET.iter().position(|known| *known == digit)?).ok()?;
        for byte in number.iter_mut().rev() {
            let value = u32::from(*byte) * 62 + carry;
            *byte = u8::try_from(value % 256).ok()?;
            carry = value / 256;
        }
        if carry != 0 {
            return None;
        }
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minted() -> (Pepper, Minted) {
        let pepper = Pepper::new([3; 32]);
        let id = KeyId::from_uuid(Uuid::from_u128(42));
        let minted = mint(&pepper, id, [7; 32]);
        (pepper, minted)
    }

    #[test]
    fn a_key_is_parsed_and_matches_its_hash_only() {
        let (pepper, minted) = minted();
        assert_eq!(minted.secret.len(), PREFIX.len() + DIGITS);
        let (id, secret) = parse(&minted.secret).unwrap();
        assert_eq!(id, minted.id);
        assert!(pepper.matches(&secret, &minted.hash));
        assert!(!Pepper::new([4; 32]).matches(&secret, &minted.hash));
        assert!(!pepper.matches(&[8; 32], &minted.hash));
        assert!(!format!("{minted:?}").contains(&minted.secret));
    }

    #[test]
    fn hashes_under_each_accepted_pepper_match_and_their_versions_differ() {
        let (old, minted) = minted();
        let (_, secret) = parse(&minted.secret).unwrap();
        let new = Pepper::new([4; 32]);
        assert_ne!(old.version, new.version);
        let mut peppers = Peppers::from(new.clone());
        assert!(!peppers.matches(&secret, &minted.hash));
        peppers.previous = Some(old.clone());
        assert!(peppers.matches(&secret, &minted.hash));
        let rolling = Peppers { current: new, next: Some(old), previous: None };
        assert!(rolling.matches(&secret, &minted.hash));
    }

    #[test]
    fn a_mistyped_key_is_rejected() {
        let (_, minted) = minted();
        for at in PREFIX.len()..minted.secret.len() {
            let mut bytes = minted.secret.clone().into_bytes();
            bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
            assert!(parse(&String::from_utf8(bytes).unwrap()).is_none(), "{at}");
        }
        for bad in ["", "ffapi_", "other", &minted.secret[1..]] {
            assert!(parse(bad).is_none());
        }
    }
}
