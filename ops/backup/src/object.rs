//! The contents of an object: compressed with zstd, then encrypted with age.

use std::io::{Read, Write};

use age::{DecryptError, Decryptor, Encryptor};
use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::{BackupError, Identities, Recipients};

/// zstd's level: its default, about 500 MB/s.
const LEVEL: i32 = 3;
/// The most that an object may expand to, so that a forged one does not fill the memory.
const MAX_CLEAR: u64 = 1024 * 1024 * 1024;

/// Compresses and encrypts.
pub(crate) fn seal(recipients: &Recipients, clear: &[u8]) -> Result<Bytes, BackupError> {
    let encryptor = Encryptor::with_recipients(recipients.all())
        .map_err(|error| BackupError::refused(error.to_string()))?;
    let mut sealed = Vec::new();
    let encrypted = encryptor.wrap_output(&mut sealed)?;
    let mut compressed = zstd::Encoder::new(encrypted, LEVEL)?;
    compressed.write_all(clear)?;
    compressed.finish()?.finish()?;
    Ok(sealed.into())
}

/// Decrypts and decompresses. age authenticates every byte, so a changed object is an error.
pub(crate) fn open(
    identities: &Identities,
    object: &str,
    sealed: &[u8],
) -> Result<Vec<u8>, BackupError> {
    let damaged = |why: String| BackupError::damaged(object, why);
    let decryptor = Decryptor::new(sealed).map_err(|error| damaged(error.to_string()))?;
    let encrypted = decryptor.decrypt(identities.all()).map_err(|error| match error {
        DecryptError::NoMatchingKeys => BackupError::WrongIdentity { object: object.to_owned() },
        error => damaged(error.to_string()),
    })?;
    let io = |error: std::io::Error| damaged(error.to_string());
    let compressed = zstd::Decoder::new(encrypted).map_err(io)?;
    let mut clear = Vec::new();
    compressed.take(MAX_CLEAR).read_to_end(&mut clear).map_err(io)?;
    Ok(clear)
}

/// The SHA-256 digest in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate_key;

    #[test]
    fn what_is_sealed_opens_unchanged_and_a_changed_byte_is_detected() {
        let (file, recipient) = generate_key();
        let identities = Identities::parse(&file).unwrap();
        let recipients = Recipients::parse(&[recipient]).unwrap();
        let clear = vec![7; 300_000];
        let sealed = seal(&recipients, &clear).unwrap();
        assert!(sealed.len() < 2_000, "{} bytes", sealed.len());
        assert_eq!(open(&identities, "a", &sealed).unwrap(), clear);
        for at in [30, sealed.len() - 1] {
            let mut changed = sealed.to_vec();
            changed[at] ^= 1;
            assert!(open(&identities, "a", &changed).is_err(), "byte {at}");
        }
        assert!(open(&identities, "a", &sealed[..sealed.len() - 20]).is_err());
        let other = Identities::parse(&generate_key().0).unwrap();
        let wrong = open(&other, "a", &sealed).unwrap_err();
        assert!(matches!(wrong, BackupError::WrongIdentity { .. }), "{wrong}");
    }
}
