use std::time::Duration;

use futures::TryFutureExt;
use reqwest::{Method, Url, header};

use super::{Egress, EgressError, unreachable_because};
use crate::metrics;

/// Bytes of a response body that are kept.
const MAX_BODY_BYTES: usize = 1_024;

/// A request to send.
#[derive(Debug)]
pub struct Message {
    /// Header names and values.
    pub headers: Vec<(&'static str, String)>,
    /// The request body.
    pub body: String,
    /// Timeout of the request, including the response.
    pub timeout: Duration,
}

/// The response to a [`Message`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status code.
    pub status: u16,
    /// The `Retry-After` header, if given in seconds.
    pub retry_after: Option<Duration>,
    /// The start of the response body.
    pub body: String,
}

impl Egress {
    /// Posts a message to a URL and reads the start of the response. Redirects are not followed:
    /// they are returned as the response.
    ///
    /// # Errors
    /// See [`EgressError`]; a response of any status is not an error.
    pub async fn post(&self, url: &Url, message: Message) -> Result<Answer, EgressError> {
        self.check_address(url)?;
        let Message { headers, body, timeout } = message;
        let mut request = self.client.post(url.clone()).body(body).timeout(timeout);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let failed = |error: reqwest::Error| unreachable_because(url, &error);
        let sending = request.send().map_err(failed);
        let mut response = metrics::request(Method::POST, url, sending).await?;
        let status = response.status().as_u16();
        let retry_after = response.headers().get(header::RETRY_AFTER);
        let retry_after = retry_after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let mut start = Vec::new();
        while start.len() < MAX_BODY_BYTES
            && let Ok(Some(chunk)) = response.chunk().await
        {
            start.extend_from_slice(&chunk);
        }
        start.truncate(MAX_BODY_BYTES);
        let body = String::from_utf8_lossy(&start).replace('\0', "\u{fffd}");
        Ok(Answer { status, retry_after: retry_after.map(Duration::from_secs), body })
    }
}
