use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt, TryFutureExt, stream::BoxStream};
use reqwest::{Body, Method, Response, StatusCode, Url, header};
use tokio::time::Instant;

use super::{Egress, EgressError, host, is_web, unreachable_because};
use crate::metrics;

/// A file to put at a URL.
pub(crate) struct PutFile {
    pub(crate) content_type: &'static str,
    pub(crate) size: u64,
    pub(crate) bytes: BoxStream<'static, io::Result<Bytes>>,
}

/// The response to a file that was put.
#[derive(Debug)]
pub(crate) struct PutAnswer {
    pub(crate) status: StatusCode,
    /// The `Retry-After` header, if given in seconds.
    pub(crate) retry_after: Option<Duration>,
    /// Where the file is wanted instead.
    pub(crate) redirect: Option<Url>,
    /// The code of the provider's error, such as `AccessDenied`.
    pub(crate) code: Option<String>,
    /// True if the response says that the signature has ended.
    pub(crate) is_expired: bool,
    /// True if the file could not be read to its end.
    pub(crate) is_unreadable: bool,
}

/// How long sending, or the response, may pause.
const STALL_TIMEOUT: Duration = Duration::from_mins(1);
/// How often that is checked.
const STALL_CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Bytes of an error's body that are read.
const MAX_BODY_BYTES: usize = 4 * 1024;
/// Maximum length of a provider's error code.
const MAX_CODE_LENGTH: usize = 64;

impl Egress {
    /// Puts a file at a URL, with its length, as S3 wants it. Redirects are returned, not followed.
    ///
    /// # Errors
    /// See [`EgressError`]; a response of any status is not an error.
    pub(crate) async fn put(&self, url: &Url, file: PutFile) -> Result<PutAnswer, EgressError> {
        self.check_address(url)?;
        let (progress, is_unreadable) =
            (Arc::new(Mutex::new(Instant::now())), Arc::new(AtomicBool::new(false)));
        let (sent, broken) = (Arc::clone(&progress), Arc::clone(&is_unreadable));
        let bytes = file.bytes.inspect(move |chunk| {
            *sent.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
            if chunk.is_err() {
                broken.store(true, Ordering::Relaxed);
            }
        });
        let mut request = self
            .sender
            .put(url.clone())
            .header(header::CONTENT_TYPE, file.content_type)
            .header(header::CONTENT_LENGTH, file.size)
            .body(Body::wrap_stream(bytes));
        if is_azure(url) {
            request = request.header("x-ms-blob-type", "BlockBlob");
        }
        let sending = request.send().map_err(|error| unreachable_because(url, &error));
        let sending = metrics::request(Method::PUT, url, sending);
        let sending = async {
            tokio::select! {
                response = sending => response,
                () = stalled(&progress) => Err(too_slow(url, "it took nothing for a minute")),
            }
        };
        let sending = tokio::time::timeout(self.timeout, sending);
        let sent = sending.await.unwrap_or_else(|_| Err(too_slow(url, "it took too long")));
        match sent {
            Ok(response) => {
                let is_unreadable = is_unreadable.load(Ordering::Relaxed);
                Ok(PutAnswer { is_unreadable, ..answer(url, response).await })
            }
            // The connection was closed because of it.
            Err(_) if is_unreadable.load(Ordering::Relaxed) => Ok(PutAnswer::unreadable()),
            Err(error) => Err(error),
        }
    }
}

impl PutAnswer {
    const fn unreadable() -> Self {
        Self {
            status: StatusCode::REQUEST_TIMEOUT,
            retry_after: None,
            redirect: None,
            code: None,
            is_expired: false,
            is_unreadable: true,
        }
    }
}

/// Completes when nothing was sent for a while.
async fn stalled(progress: &Mutex<Instant>) {
    loop {
        tokio::time::sleep(STALL_CHECK_INTERVAL).await;
        let last = *progress.lock().unwrap_or_else(PoisonError::into_inner);
        if last.elapsed() > STALL_TIMEOUT {
            return;
        }
    }
}

fn too_slow(url: &Url, why: &str) -> EgressError {
    EgressError::Unreachable { host: host(url), why: why.to_owned() }
}

async fn answer(url: &Url, mut response: Response) -> PutAnswer {
    let status = response.status();
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    let retry_after = header(header::RETRY_AFTER).and_then(|value| value.trim().parse().ok());
    let redirect = header(header::LOCATION).and_then(|to| url.join(to).ok()).filter(is_web);
    let code = header(header::HeaderName::from_static("x-ms-error-code")).and_then(known_code);
    let mut start = Vec::new();
    if !status.is_success() {
        while start.len() < MAX_BODY_BYTES
            && let Ok(Ok(Some(chunk))) =
                tokio::time::timeout(STALL_CHECK_INTERVAL, response.chunk()).await
        {
            start.extend_from_slice(&chunk);
        }
    }
    let body = String::from_utf8_lossy(&start);
    let code = code.or_else(|| known_code(body.split_once("<Code>")?.1.split_once("</Code>")?.0));
    let says = ["Request has expired", "not valid in the specified time frame"];
    let is_expired = !status.is_success()
        && (code.as_deref() == Some("ExpiredToken") || says.iter().any(|text| body.contains(text)));
    PutAnswer {
        status,
        retry_after: retry_after.map(Duration::from_secs),
        redirect: redirect.filter(|_| status.is_redirection()),
        code,
        is_expired,
        is_unreadable: false,
    }
}

/// The code of an error, if it is one: the host may send anything.
fn known_code(text: &str) -> Option<String> {
    let is_code = (1..=MAX_CODE_LENGTH).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_alphanumeric());
    is_code.then(|| text.to_owned())
}

/// True for a shared access signature of Azure, whose API requires the type of the blob in a header.
fn is_azure(url: &Url) -> bool {
    ["sv", "sig"].iter().all(|name| url.query_pairs().any(|(key, _)| key == *name))
}
