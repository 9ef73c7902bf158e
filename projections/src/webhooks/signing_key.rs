//! The key pair of a webhook: what it signs can be verified without its secret.

use ed25519_dalek::{Signer as _, SigningKey};
use sha2::{Digest, Sha256};

/// The Ed25519 key pair that belongs to a webhook's secret.
#[derive(Debug)]
pub struct WebhookKeyPair(SigningKey);

/// Keeps the private key apart from every other use of the secret.
const DOMAIN: &[u8] = b"ffapi webhook key pair\n";

impl WebhookKeyPair {
    /// Derives the key pair from the secret: each secret has one.
    pub fn of(secret: &[u8]) -> Self {
        let seed = Sha256::new().chain_update(DOMAIN).chain_update(secret).finalize();
        Self(SigningKey::from_bytes(&seed.into()))
    }

    /// The public key.
    pub fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// The signature of a message.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}
