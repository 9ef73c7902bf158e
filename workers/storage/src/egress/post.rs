use std::time::Duration;

use reqwest::{Url, header};

use super::{Egress, EgressError, unreachable_because};

/// Bytes of an answer that are kept.
const ANSWER: usize = 1_024;

/// Something to be sent.
#[derive(Debug)]
pub struct Message {
    /// Names and values.
    pub headers: Vec<(&'static str, String)>,
    /// As it is sent.
    pub body: String,
    /// For all of it, answer included.
    pub timeout: Duration,
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Of HTTP.
    pub status: u16,
    /// How long we are asked to wait.
    pub retry_after: Option<Duration>,
    /// The start of the body.
    pub body: String,
}

impl Egress {
    /// Sends a body to a web address, and reads the start of the answer. Whoever sends us elsewhere
    /// is not followed: a redirect is an answer.
    ///
    /// # Errors
    /// As [`EgressError`] says; an answer of any status is none.
    pub async fn post(&self, url: &Url, message: Message) -> Result<Answer, EgressError> {
        self.look_at(url)?;
        let Message { headers, body, timeout } = message;
        let mut request = self.client.post(url.clone()).body(body).timeout(timeout);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let lost = |error: reqwest::Error| unreachable_because(url, &error);
        let mut response = request.send().await.map_err(lost)?;
        let status = response.status().as_u16();
        let retry_after = response.headers().get(header::RETRY_AFTER);
        let retry_after = retry_after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let mut start = Vec::new();
        while start.len() < ANSWER
            && let Ok(Some(chunk)) = response.chunk().await
        {
            start.extend_from_slice(&chunk);
        }
        start.truncate(ANSWER);
        let body = String::from_utf8_lossy(&start).replace('\0', "\u{fffd}");
        Ok(Answer { status, retry_after: retry_after.map(Duration::from_secs), body })
    }
}
