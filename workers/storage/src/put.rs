//! Staged files that are put at URLs which clients signed.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use backon::{ExponentialBuilder, Retryable};
use bytes::Bytes;
use ffapi_domain::{
    Timestamp,
    location::{Location, ended_signature, signature_end},
    media::content_type,
};
use futures::{StreamExt, stream::BoxStream};
use reqwest::{StatusCode, Url};
use sha2::{Digest, Sha256};

use crate::{
    Egress, EgressError, Received, Staged, StorageError, TenantStorage,
    egress::{PutAnswer, PutFile},
    metrics::Operation,
};

/// Why a file could not be put at a URL.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// The signature of the URL has ended.
    #[error("the signature of the output's URL has ended{}", .at.map(|at| format!(" at {at}")).unwrap_or_default())]
    Expired {
        /// When, if the URL says it.
        at: Option<Timestamp>,
    },
    /// The host denies access.
    #[error("{host} denies access to the output's URL: it answered {}", answered(*.status, .code.as_ref()))]
    Denied {
        /// The host as the URL names it.
        host: String,
        /// The status of the response.
        status: StatusCode,
        /// The provider's error code.
        code: Option<String>,
    },
    /// The host does not want the file.
    #[error("{host} rejects the output: it answered {}", answered(*.status, .code.as_ref()))]
    Rejected {
        /// The host as the URL names it.
        host: String,
        /// The status of the response.
        status: StatusCode,
        /// The provider's error code.
        code: Option<String>,
    },
    /// The host asks to try again later.
    #[error("{host} does not take the output at the moment: it answered {}", answered(*.status, .code.as_ref()))]
    Busy {
        /// The host as the URL names it.
        host: String,
        /// The status of the response.
        status: StatusCode,
        /// The provider's error code.
        code: Option<String>,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// The host cannot be reached, or its address is not allowed.
    #[error(transparent)]
    Egress(#[from] EgressError),
    /// The staged file cannot be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The host reported success before it had the whole file.
    #[error("{0} answered that it has the output before all of it was sent")]
    Early(String),
    /// The bytes that were sent are not those that were sealed.
    #[error("what was staged of the output is not what was sealed")]
    Changed,
}

fn answered(status: StatusCode, code: Option<&String>) -> String {
    match code {
        Some(code) => format!("{} {code}", status.as_u16()),
        None => status.as_u16().to_string(),
    }
}

impl PutError {
    /// True if the same request may succeed in seconds.
    const fn is_temporary(&self) -> bool {
        match self {
            Self::Busy { .. }
            | Self::Egress(EgressError::Unreachable { .. })
            | Self::Storage(StorageError::Unavailable(_)) => true,
            Self::Expired { .. }
            | Self::Denied { .. }
            | Self::Rejected { .. }
            | Self::Egress(_)
            | Self::Storage(_)
            | Self::Early(_)
            | Self::Changed => false,
        }
    }

    /// What failed, without the name of anything: for logs.
    const fn reason(&self) -> &'static str {
        match self {
            Self::Expired { .. } => "expired",
            Self::Denied { .. } => "denied",
            Self::Rejected { .. } => "rejected",
            Self::Busy { .. } => "busy",
            Self::Egress(_) => "unreachable",
            Self::Storage(error) => error.reason(),
            Self::Early(_) => "early",
            Self::Changed => "changed",
        }
    }
}

/// Delay before the second try; each later one is twice as long, plus jitter.
const FIRST_DELAY: Duration = Duration::from_millis(500);
/// Maximum delay between two tries.
const MAX_DELAY: Duration = Duration::from_secs(30);
/// How long after the first try a file is tried again, as stores are.
const MAX_TOTAL_DELAY: Duration = Duration::from_mins(4);
/// Tries within that time.
const MAX_TRIES: usize = 16;
/// Redirects that are followed, as for inputs.
const MAX_REDIRECTS: usize = 5;

impl TenantStorage {
    /// Puts a staged file at a URL, again and again for some minutes while the host is away or busy.
    /// Idempotent: the same bytes are put.
    ///
    /// # Errors
    /// See [`PutError`].
    pub async fn put(
        &self,
        egress: &Egress,
        staged: &Staged,
        to: &Location,
        sealed: &Received,
    ) -> Result<(), PutError> {
        let Location::Web(url) = to else {
            return Err(StorageError::NotFound(to.shown()).into());
        };
        let backoff = ExponentialBuilder::default()
            .with_jitter()
            .with_min_delay(FIRST_DELAY)
            .with_max_delay(MAX_DELAY)
            .with_total_delay(Some(MAX_TOTAL_DELAY))
            .with_max_times(MAX_TRIES);
        let putting = || self.put_once(egress, staged, to, url, sealed);
        // The tries themselves, and the delays that the host asks for, count as well.
        let start = Instant::now();
        putting
            .retry(backoff)
            .when(PutError::is_temporary)
            .adjust(|error, delay| delay_after(error, delay?, start.elapsed()))
            .notify(|error, delay| {
                let error = error.reason();
                tracing::debug!(error, ?delay, "an output is not put at its URL yet; retrying");
            })
            .await
    }

    async fn put_once(
        &self,
        egress: &Egress,
        staged: &Staged,
        to: &Location,
        url: &Url,
        sealed: &Received,
    ) -> Result<(), PutError> {
        let mut url = url.clone();
        for _ in 0..=MAX_REDIRECTS {
            check_signature(&url)?;
            let (store, object) = self.staged_contents(staged, to);
            let reading = store.perform(Operation::Read, store.backend.read(&object, None)).await;
            let reading = reading.map_err(|error| match error {
                StorageError::NotFound(shown) => StorageError::not_staged(&shown),
                error => error,
            })?;
            if reading.size != sealed.size {
                return Err(PutError::Changed);
            }
            let sent = Arc::<Mutex<Sent>>::default();
            let file = PutFile {
                content_type: content_type(to.file_name().unwrap_or_default()),
                size: sealed.size,
                bytes: observed(reading.bytes, Arc::clone(&sent)),
            };
            let answer = egress.put(&url, file).await?;
            if answer.is_unreadable {
                return Err(StorageError::unavailable("the staged file cannot be read").into());
            }
            match answer.redirect {
                // Others would turn the request into one without the file.
                Some(to) if matches!(answer.status.as_u16(), 307 | 308) => url = to,
                _ => {
                    taken(&url, answer)?;
                    let sent = sent.lock().unwrap_or_else(PoisonError::into_inner).clone();
                    if sent.bytes < sealed.size {
                        return Err(PutError::Early(host(&url)));
                    }
                    let is_sealed = hex::encode(sent.hash.finalize()) == sealed.sha256;
                    return if is_sealed { Ok(()) } else { Err(PutError::Changed) };
                }
            }
        }
        Err(EgressError::Redirects(host(&url)).into())
    }
}

/// The delay before the next try, if the usual one is `usual`; none if that would be too late after the first
/// try, `elapsed` ago. The host knows better when to come back; but the attempt does not wait for hours.
fn delay_after(error: &PutError, usual: Duration, elapsed: Duration) -> Option<Duration> {
    let delay = match error {
        PutError::Busy { retry_after: Some(after), .. } => usual.max(*after),
        _ => usual,
    };
    (elapsed.saturating_add(delay) <= MAX_TOTAL_DELAY).then_some(delay)
}

/// Fails if the signature of a URL has ended, as far as the URL says it.
///
/// # Errors
/// `Expired`.
pub fn check_signature(url: &Url) -> Result<(), PutError> {
    match ended_signature(url, SystemTime::now().into()) {
        Some(end) => Err(PutError::Expired { at: Some(end) }),
        None => Ok(()),
    }
}

fn host(url: &Url) -> String {
    url.host_str().unwrap_or_default().to_owned()
}

/// What the connection has taken of a file.
#[derive(Debug, Clone, Default)]
struct Sent {
    bytes: u64,
    hash: Sha256,
}

fn observed(
    bytes: BoxStream<'static, io::Result<Bytes>>,
    sent: Arc<Mutex<Sent>>,
) -> BoxStream<'static, io::Result<Bytes>> {
    let update = move |chunk: &io::Result<Bytes>| {
        if let Ok(chunk) = chunk {
            let mut sent = sent.lock().unwrap_or_else(PoisonError::into_inner);
            sent.bytes = sent.bytes.saturating_add(chunk.len() as u64);
            sent.hash.update(chunk);
        }
    };
    bytes.inspect(update).boxed()
}

/// Success if the host has taken the file.
fn taken(url: &Url, answer: PutAnswer) -> Result<(), PutError> {
    let PutAnswer { status, retry_after, code, is_expired, .. } = answer;
    let host = host(url);
    if status.is_success() {
        return Ok(());
    }
    if is_expired {
        return Err(PutError::Expired { at: signature_end(url) });
    }
    Err(match status.as_u16() {
        401 | 403 | 407 | 451 => PutError::Denied { host, status, code },
        // S3 answers 400 if the connection was idle for too long.
        408 | 425 | 429 | 500..=599 => PutError::Busy { host, status, code, retry_after },
        400 if code.as_deref() == Some("RequestTimeout") => {
            PutError::Busy { host, status, code, retry_after }
        }
        300..=399 => EgressError::Redirects(host).into(),
        _ => PutError::Rejected { host, status, code },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_may_delay_the_next_try_but_not_beyond_four_minutes_after_the_first() {
        let seconds = Duration::from_secs;
        let after = |retry_after: Option<u64>, usual, elapsed| {
            let retry_after = retry_after.map(seconds);
            let status = StatusCode::SERVICE_UNAVAILABLE;
            let error = PutError::Busy { host: String::new(), status, code: None, retry_after };
            delay_after(&error, seconds(usual), seconds(elapsed)).map(|delay| delay.as_secs())
        };
        assert_eq!(after(None, 4, 0), Some(4));
        assert_eq!(after(Some(60), 4, 0), Some(60));
        assert_eq!(after(Some(1), 4, 0), Some(4), "not sooner than usual");
        assert_eq!(after(Some(240), 4, 0), Some(240));
        assert_eq!(after(Some(241), 4, 0), None);
        assert_eq!(after(Some(u64::MAX), 4, 1), None);
        // The earlier tries and delays count.
        assert_eq!(after(Some(60), 4, 180), Some(60));
        assert_eq!(after(Some(60), 4, 181), None);
        assert_eq!(after(None, 30, 211), None);
        let error = PutError::Storage(StorageError::unavailable("away"));
        assert_eq!(delay_after(&error, seconds(30), seconds(210)), Some(seconds(30)));
        assert_eq!(delay_after(&error, seconds(30), seconds(211)), None);
    }
}
