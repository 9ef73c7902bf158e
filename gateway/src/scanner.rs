//! Virus scanning of uploads while they are received, by clamd's `INSTREAM` command.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// The address of clamd, and what to do if it fails.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScannerConfig {
    /// `host:port`. Its `StreamMaxLength` must be at least the maximum size of an upload.
    pub address: String,
    /// What happens to an upload that could not be scanned.
    #[serde(default)]
    pub on_failure: OnFailure,
}

/// What happens to an upload that could not be scanned.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// It is refused; the client may retry.
    #[default]
    Refuse,
    /// It is accepted, with a note in the audit trail.
    Accept,
}

/// The result of a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Clean,
    /// A virus, with clamd's name for it.
    Found(String),
    Failed(String),
}

/// The scan of one upload.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scan {
    verdict: Arc<Mutex<Option<Verdict>>>,
}

type Chunks = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// Timeout of connecting to clamd, and of each read and write.
const CLAMD_TIMEOUT: Duration = Duration::from_secs(30);
/// Maximum length of a reply in bytes.
const MAX_REPLY_LENGTH: usize = 4_096;

impl Scan {
    /// The same bytes, which are also sent to clamd; the verdict is known once all have passed.
    pub(crate) fn tee<S>(&self, config: &ScannerConfig, bytes: S) -> Chunks
    where
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        let start = Scanning {
            bytes: Box::pin(bytes.fuse()),
            address: config.address.clone(),
            clamd: None,
            scan: self.clone(),
            ended: false,
        };
        let passed = stream::unfold(start, |mut scanning| async move {
            scanning.next().await.map(|chunk| (chunk, scanning))
        });
        Box::pin(passed)
    }

    fn set_verdict(&self, verdict: Verdict) {
        let mut known = self.verdict.lock().unwrap_or_else(PoisonError::into_inner);
        known.get_or_insert(verdict);
    }

    /// The verdict; a failure if the stream has not ended.
    pub(crate) fn verdict(&self) -> Verdict {
        let known = self.verdict.lock().unwrap_or_else(PoisonError::into_inner).clone();
        known.unwrap_or_else(|| Verdict::Failed("the scan was not completed".to_owned()))
    }
}

struct Scanning {
    bytes: Chunks,
    address: String,
    clamd: Option<TcpStream>,
    scan: Scan,
    ended: bool,
}

impl Scanning {
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        if self.ended {
            return None;
        }
        match self.bytes.next().await {
            Some(Ok(chunk)) => {
                if let Err(error) = self.send(&chunk).await {
                    // It may have sent the reason before it closed the connection.
                    let reply = self.read_reply().await.unwrap_or_default();
                    let why = if reply.is_empty() { error.to_string() } else { reply };
                    self.scan.set_verdict(Verdict::Failed(why));
                }
                Some(Ok(chunk))
            }
            Some(error) => Some(error),
            None => {
                self.ended = true;
                let verdict = match self.finish().await {
                    Ok(reply) => parse_reply(&reply),
                    Err(error) => Verdict::Failed(error.to_string()),
                };
                self.scan.set_verdict(verdict.clone());
                // An error at the end makes sure that nothing of the file is stored.
                let Verdict::Found(name) = verdict else { return None };
                Some(Err(io::Error::other(name)))
            }
        }
    }

    fn failed(&self) -> bool {
        self.scan.verdict.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    async fn send(&mut self, chunk: &[u8]) -> io::Result<()> {
        if self.failed() || chunk.is_empty() {
            return Ok(());
        }
        let clamd = self.clamd().await?;
        let length = u32::try_from(chunk.len()).map_err(io::Error::other)?;
        with_timeout(async {
            clamd.write_all(&length.to_be_bytes()).await?;
            clamd.write_all(chunk).await
        })
        .await
    }

    async fn finish(&mut self) -> io::Result<String> {
        let clamd = self.clamd().await?;
        with_timeout(clamd.write_all(&[0; 4])).await?;
        self.read_reply().await
    }

    async fn clamd(&mut self) -> io::Result<&mut TcpStream> {
        if self.clamd.is_none() {
            let mut connection = with_timeout(TcpStream::connect(&self.address)).await?;
            with_timeout(connection.write_all(b"zINSTREAM\0")).await?;
            self.clamd = Some(connection);
        }
        self.clamd.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    async fn read_reply(&mut self) -> io::Result<String> {
        let clamd = self.clamd.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let mut reply = Vec::new();
        with_timeout(async {
            while reply.len() < MAX_REPLY_LENGTH && !reply.ends_with(&[0]) {
                let mut more = [0; 256];
                let read = clamd.read(&mut more).await?;
                if read == 0 {
                    break;
                }
                reply.extend_from_slice(more.get(..read).unwrap_or_default());
            }
            Ok(())
        })
        .await?;
        Ok(String::from_utf8_lossy(&reply).trim_end_matches('\0').trim().to_owned())
    }
}

async fn with_timeout<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(CLAMD_TIMEOUT, work)
        .await
        .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "clamd does not answer")))
}

/// Parses `stream: OK`, `stream: Some.Name FOUND`, or an error message of clamd.
fn parse_reply(reply: &str) -> Verdict {
    let reply = reply.strip_prefix("stream: ").unwrap_or(reply);
    if reply == "OK" {
        return Verdict::Clean;
    }
    match reply.strip_suffix(" FOUND") {
        Some(name) => Verdict::Found(name.to_owned()),
        None => Verdict::Failed(reply.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_ok_reply_is_clean() {
        assert_eq!(parse_reply("stream: OK"), Verdict::Clean);
        assert_eq!(parse_reply("stream: Eicar FOUND"), Verdict::Found("Eicar".to_owned()));
        for error in ["", "INSTREAM size limit exceeded. ERROR", "stream: NOT OK"] {
            assert_eq!(parse_reply(error), Verdict::Failed(error.replace("stream: ", "")));
        }
    }
}
