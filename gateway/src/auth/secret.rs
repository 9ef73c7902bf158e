use std::fmt;

use ffapi_domain::KeyId;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;

/// The configured secret under which keys are hashed: a stolen log opens nothing without it.
#[derive(Clone)]
pub struct Pepper {
    secret: [u8; 32],
    /// Which, for a later change.
    pub version: u32,
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pepper(v{})", self.version)
    }
}

/// A new key: what to show once, and what to keep.
#[derive(Debug)]
pub struct Minted {
    /// Its public id.
    pub id: KeyId,
    /// Shown once.
    pub secret: String,
    /// Kept.
    pub hash: String,
    /// Kept.
    pub pepper_version: u32,
}

const PREFIX: &str = "ffapi_";
const ID: usize = 16;
const SECRET: usize = 32;
const CHECK: usize = 4;
/// 52 bytes in base 62.
const DIGITS: usize = 70;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

impl Pepper {
    /// From 32 secret bytes.
    pub const fn new(secret: [u8; 32], version: u32) -> Self {
        Self { secret, version }
    }

    fn hash(&self, secret: &[u8]) -> Option<[u8; 32]> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).ok()?;
        mac.update(secret);
        Some(mac.finalize().into_bytes().into())
    }

    /// Signs what only we can have said.
    pub(crate) fn sign(&self, words: &[u8]) -> Option<[u8; 32]> {
        self.hash(words)
    }

    /// True if we signed these words; takes the same time either way.
    pub(crate) fn signed(&self, words: &[u8], signature: &[u8]) -> bool {
        self.sign(words).is_some_and(|ours| bool::from(ours.as_slice().ct_eq(signature)))
    }

    /// True if this secret has this hash; takes the same time either way.
    pub(crate) fn matches(&self, secret: &[u8], hash: &str) -> bool {
        let kept = hex::decode(hash).unwrap_or_default();
        self.hash(secret).is_some_and(|ours| bool::from(ours.as_slice().ct_eq(&kept)))
    }
}

/// Makes a key from 32 random bytes.
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

/// The public id and the secret part of what somebody sent; none if it is no key of ours.
pub(crate) fn parse(text: &str) -> Option<(KeyId, Vec<u8>)> {
    let bytes = decode(text.strip_prefix(PREFIX)?)?;
    let (body, check) = bytes.split_at_checked(ID + SECRET)?;
    if checksum(body) != check {
        return None;
    }
    let (id, secret) = body.split_at_checked(ID)?;
    Some((KeyId::from_uuid(Uuid::from_slice(id).ok()?), secret.to_vec()))
}

fn checksum(bytes: &[u8]) -> Vec<u8> {
    Sha256::digest(bytes).iter().take(CHECK).copied().collect()
}

/// Base 62 of a big-endian number, always 70 digits.
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
    let mut number = vec![0_u8; ID + SECRET + CHECK];
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
        let pepper = Pepper::new([3; 32], 1);
        let id = KeyId::from_uuid(Uuid::from_u128(42));
        let minted = mint(&pepper, id, [7; 32]);
        (pepper, minted)
    }

    #[test]
    fn a_key_opens_what_it_was_made_for() {
        let (pepper, minted) = minted();
        assert_eq!(minted.secret.len(), PREFIX.len() + DIGITS);
        let (id, secret) = parse(&minted.secret).unwrap();
        assert_eq!(id, minted.id);
        assert!(pepper.matches(&secret, &minted.hash));
        assert!(!Pepper::new([4; 32], 1).matches(&secret, &minted.hash));
        assert!(!pepper.matches(&[8; 32], &minted.hash));
    }

    #[test]
    fn a_mistyped_key_is_none() {
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
