use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ffapi_domain::{BatchId, JobId, KeyId, Timestamp, UploadId, key::TokenId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{Pepper, Peppers};

/// A signed token that gives read access in place of a key, where no header can be sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Token {
    /// The key that created it; the token ends with it.
    #[serde(rename = "k")]
    pub(crate) key: KeyId,
    #[serde(rename = "s")]
    pub(crate) scope: TokenScope,
    /// Milliseconds since the Unix epoch.
    #[serde(rename = "e")]
    pub(crate) expires_at: u64,
    /// For `TokenScope::Upload`.
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    pub(crate) upload: Option<UploadGrant>,
    /// A random number that makes it another token than those for the same until the same time.
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    pub(crate) nonce: Option<u64>,
}

/// What may be uploaded with a token, and what happens then.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct UploadGrant {
    /// Maximum size of the file in bytes; the account's limit if absent.
    #[serde(rename = "m", default, skip_serializing_if = "Option::is_none")]
    pub(crate) max_bytes: Option<u64>,
    /// The job that is submitted with the file as its input: the body of its POST, with its `kind`.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub(crate) then: Option<Map<String, Value>>,
}

/// What a token gives access to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum TokenScope {
    /// A job's events.
    #[serde(rename = "j")]
    Job(JobId),
    /// A job's outputs.
    #[serde(rename = "o")]
    Outputs(JobId),
    /// A batch's events.
    #[serde(rename = "b")]
    Batch(BatchId),
    /// Everything that happens to the tenant's jobs and batches.
    #[serde(rename = "f")]
    Feed,
    /// One upload; the id is that of the token.
    #[serde(rename = "u")]
    Upload(UploadId),
}

const PREFIX: &str = "ffview_";
/// Prefix of the signed message: keeps these signatures apart from hashes of key secrets.
const DOMAIN: &[u8] = b"ffapi token ";

impl TokenScope {
    /// True if it gives access to this path.
    pub(crate) fn covers(self, path: &str) -> bool {
        let path = path.strip_prefix("/api/v1").unwrap_or(path);
        match self {
            Self::Job(id) => path == format!("/jobs/{id}/events"),
            Self::Batch(id) => path == format!("/batch/{id}/events"),
            Self::Feed => path == "/events",
            Self::Upload(_) => path == "/uploads",
            Self::Outputs(id) => {
                let all = format!("/jobs/{id}/outputs");
                path == all || path.starts_with(&format!("{all}/"))
            }
        }
    }
}

impl Token {
    /// Encodes the token as text: its JSON and the signature.
    pub(crate) fn sign(&self, pepper: &Pepper) -> Option<String> {
        let body = serde_json::to_vec(self).ok()?;
        let signature = pepper.sign(&[DOMAIN, &body].concat())?;
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        Some(format!("{PREFIX}{}.{}", encode(&body), encode(&signature)))
    }

    /// Its id, by which it can be revoked.
    pub(crate) fn id(text: &str) -> TokenId {
        let signed = text.split_once('.').map_or(text, |(body, _)| body);
        TokenId::from_digest(&Sha256::digest(signed).into())
    }

    /// Decodes a token, if its signature is valid and it has not expired.
    pub(crate) fn read(text: &str, peppers: &Peppers, now: Timestamp) -> Option<Self> {
        let (body, signature) = text.strip_prefix(PREFIX)?.split_once('.')?;
        let body = URL_SAFE_NO_PAD.decode(body).ok()?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        if !peppers.verify(&[DOMAIN, &body].concat(), &signature) {
            return None;
        }
        let token: Self = serde_json::from_slice(&body).ok()?;
        (token.expires_at > now.as_millis()).then_some(token)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const JOB: JobId = JobId::from_uuid(Uuid::from_u128(7));

    fn token() -> Token {
        let key = KeyId::from_uuid(Uuid::from_u128(1));
        Token { key, scope: TokenScope::Outputs(JOB), expires_at: 1_000, upload: None, nonce: None }
    }

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn a_token_is_valid_until_it_expires_and_forged_ones_are_rejected() {
        let peppers = Peppers::from(Pepper::new([3; 32]));
        let text = token().sign(&peppers.current).unwrap();
        assert_eq!(Token::read(&text, &peppers, at(999)), Some(token()));
        assert_eq!(Token::read(&text, &peppers, at(1_000)), None);
        let mut other = Peppers::from(Pepper::new([4; 32]));
        assert_eq!(Token::read(&text, &other, at(0)), None);
        other.previous = Some(peppers.current.clone());
        assert_eq!(Token::read(&text, &other, at(999)), Some(token()));
        for index in PREFIX.len()..text.len() - 1 {
            let mut bytes = text.clone().into_bytes();
            bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(bytes).unwrap();
            assert_eq!(Token::read(&forged, &peppers, at(0)), None, "{index}");
        }
    }

    #[test]
    fn a_token_covers_only_the_paths_of_its_scope() {
        let (outputs, events) = (TokenScope::Outputs(JOB), TokenScope::Job(JOB));
        let path = |rest: &str| format!("/api/v1/jobs/{JOB}{rest}");
        assert!(outputs.covers(&path("/outputs")) && outputs.covers(&path("/outputs/a/b.m4s")));
        assert!(events.covers(&path("/events")));
        for rest in ["", "/logs", "/outputsx", "/cancel"] {
            assert!(!outputs.covers(&path(rest)) && !events.covers(&path(rest)), "{rest}");
        }
        assert!(!outputs.covers(&path("/events")) && !events.covers(&path("/outputs")));
        assert!(!outputs.covers("/api/v1/jobs"));
        let batch = BatchId::from_uuid(Uuid::from_u128(8));
        assert!(TokenScope::Batch(batch).covers(&format!("/api/v1/batch/{batch}/events")));
        assert!(!TokenScope::Batch(batch).covers(&format!("/api/v1/batch/{batch}")));
        assert!(
            TokenScope::Feed.covers("/api/v1/events") && !TokenScope::Feed.covers(&path("/events"))
        );
    }
}
