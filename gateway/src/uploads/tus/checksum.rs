//! `Upload-Checksum`.

use base64::{Engine, engine::general_purpose::STANDARD};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::problem::{Kind, Problem};

/// The checksum that the bytes of a request must have.
pub(super) struct Checksum {
    algorithm: Algorithm,
    expected: Vec<u8>,
}

enum Algorithm {
    Sha1(Sha1),
    Sha256(Sha256),
}

impl Checksum {
    pub(super) fn parse(header: &str) -> Result<Self, Problem> {
        let malformed = |detail: &str| Problem::header(Kind::Malformed, "Upload-Checksum", detail);
        let (name, value) =
            header.split_once(' ').ok_or_else(|| malformed("it is a name and a checksum"))?;
        let algorithm = match name {
            "sha1" => Algorithm::Sha1(Sha1::new()),
            "sha256" => Algorithm::Sha256(Sha256::new()),
            _ => return Err(malformed("the algorithms are `sha1` and `sha256`")),
        };
        let expected = STANDARD.decode(value).map_err(|_| malformed("it is not in base64"))?;
        Ok(Self { algorithm, expected })
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match &mut self.algorithm {
            Algorithm::Sha1(hash) => hash.update(bytes),
            Algorithm::Sha256(hash) => hash.update(bytes),
        }
    }

    pub(super) fn matches(self) -> bool {
        match self.algorithm {
            Algorithm::Sha1(hash) => *hash.finalize() == *self.expected,
            Algorithm::Sha256(hash) => *hash.finalize() == *self.expected,
        }
    }
}
