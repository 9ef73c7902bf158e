use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ffapi_domain::{BatchId, JobId, KeyId, Timestamp};
use serde::{Deserialize, Serialize};

use super::Pepper;

/// What a token shows, in place of a key, where no header can be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Token {
    /// Made with this key, and worth nothing without it.
    #[serde(rename = "k")]
    pub(crate) key: KeyId,
    #[serde(rename = "s")]
    pub(crate) sight: TokenScope,
    /// Milliseconds since 1970.
    #[serde(rename = "e")]
    pub(crate) until: u64,
}

/// What may be seen.
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
}

const PREFIX: &str = "ffview_";
/// What is signed is no secret of a key, whatever it looks like.
const DOMAIN: &[u8] = b"ffapi token ";

impl TokenScope {
    /// True if it shows what stands at this path.
    pub(crate) fn shows(self, path: &str) -> bool {
        let path = path.strip_prefix("/api/v1").unwrap_or(path);
        match self {
            Self::Job(id) => path == format!("/jobs/{id}/events"),
            Self::Batch(id) => path == format!("/batch/{id}/events"),
            Self::Feed => path == "/events",
            Self::Outputs(id) => {
                let all = format!("/jobs/{id}/outputs");
                path == all || path.starts_with(&format!("{all}/"))
            }
        }
    }
}

impl Token {
    /// As it is sent: what it says, and our signature of it.
    pub(crate) fn sign(&self, pepper: &Pepper) -> Option<String> {
        let body = serde_json::to_vec(self).ok()?;
        let signature = pepper.sign(&[DOMAIN, &body].concat())?;
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        Some(format!("{PREFIX}{}.{}", encode(&body), encode(&signature)))
    }

    /// What a text says, if we signed it and its time is not over.
    pub(crate) fn read(text: &str, pepper: &Pepper, now: Timestamp) -> Option<Self> {
        let (body, signature) = text.strip_prefix(PREFIX)?.split_once('.')?;
        let body = URL_SAFE_NO_PAD.decode(body).ok()?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        if !pepper.signed(&[DOMAIN, &body].concat(), &signature) {
            return None;
        }
        let token: Self = serde_json::from_slice(&body).ok()?;
        (token.until > now.as_millis()).then_some(token)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const JOB: JobId = JobId::from_uuid(Uuid::from_u128(7));

    fn token() -> Token {
        let key = KeyId::from_uuid(Uuid::from_u128(1));
        Token { key, sight: TokenScope::Outputs(JOB), until: 1_000 }
    }

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn a_token_says_what_we_signed_until_its_time_is_over() {
        let pepper = Pepper::new([3; 32], 1);
        let text = token().sign(&pepper).unwrap();
        assert_eq!(Token::read(&text, &pepper, at(999)), Some(token()));
        assert_eq!(Token::read(&text, &pepper, at(1_000)), None);
        assert_eq!(Token::read(&text, &Pepper::new([4; 32], 1), at(0)), None);
        for place in PREFIX.len()..text.len() - 1 {
            let mut bytes = text.clone().into_bytes();
            bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(bytes).unwrap();
            assert_eq!(Token::read(&forged, &pepper, at(0)), None, "{place}");
        }
    }

    #[test]
    fn a_token_shows_what_it_is_for_and_nothing_beside_it() {
        let (outputs, events) = (TokenScope::Outputs(JOB), TokenScope::Job(JOB));
        let path = |rest: &str| format!("/api/v1/jobs/{JOB}{rest}");
        assert!(outputs.shows(&path("/outputs")) && outputs.shows(&path("/outputs/a/b.m4s")));
        assert!(events.shows(&path("/events")));
        for rest in ["", "/logs", "/outputsx", "/cancel"] {
            assert!(!outputs.shows(&path(rest)) && !events.shows(&path(rest)), "{rest}");
        }
        assert!(!outputs.shows(&path("/events")) && !events.shows(&path("/outputs")));
        assert!(!outputs.shows("/api/v1/jobs"));
        let batch = BatchId::from_uuid(Uuid::from_u128(8));
        assert!(TokenScope::Batch(batch).shows(&format!("/api/v1/batch/{batch}/events")));
        assert!(!TokenScope::Batch(batch).shows(&format!("/api/v1/batch/{batch}")));
        assert!(
            TokenScope::Feed.shows("/api/v1/events") && !TokenScope::Feed.shows(&path("/events"))
        );
    }
}
