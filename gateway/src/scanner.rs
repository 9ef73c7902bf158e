//! A virus scanner that looks at uploads as they pass: clamd, by its INSTREAM.

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

/// Where clamd is, and what to do without it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScannerConfig {
    /// `host:port`. Its `StreamMaxLength` must be as large as what is uploaded.
    pub address: String,
    /// What becomes of an upload that could not be scanned.
    #[serde(default)]
    pub on_failure: OnFailure,
}

/// What becomes of an upload that could not be scanned.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// It is refused; the sender may come again.
    #[default]
    Refuse,
    /// It is taken, and noted in the audit trail.
    Accept,
}

/// What a scan found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Clean,
    /// Named as clamd names it.
    Found(String),
    Failed(String),
}

/// One upload's scan.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scan {
    verdict: Arc<Mutex<Option<Verdict>>>,
}

type Chunks = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// For any answer of clamd's.
const PATIENCE: Duration = Duration::from_secs(30);
/// A reply is a line.
const LONGEST: usize = 4_096;

impl Scan {
    /// The same bytes, which clamd sees as well; what it found is known once they have all passed.
    pub(crate) fn watch<S>(&self, config: &ScannerConfig, bytes: S) -> Chunks
    where
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        let start = Watching {
            bytes: Box::pin(bytes.fuse()),
            address: config.address.clone(),
            clamd: None,
            scan: self.clone(),
            over: false,
        };
        let passed = stream::unfold(start, |mut watching| async move {
            watching.next().await.map(|chunk| (chunk, watching))
        });
        Box::pin(passed)
    }

    fn judge(&self, verdict: Verdict) {
        let mut known = self.verdict.lock().unwrap_or_else(PoisonError::into_inner);
        known.get_or_insert(verdict);
    }

    /// What it found.
    pub(crate) fn verdict(&self) -> Verdict {
        let known = self.verdict.lock().unwrap_or_else(PoisonError::into_inner).clone();
        known.unwrap_or_else(|| Verdict::Failed("it was not asked to the end".to_owned()))
    }
}

struct Watching {
    bytes: Chunks,
    address: String,
    clamd: Option<TcpStream>,
    scan: Scan,
    over: bool,
}

impl Watching {
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        if self.over {
            return None;
        }
        match self.bytes.next().await {
            Some(Ok(chunk)) => {
                if let Err(error) = self.show(&chunk).await {
                    // It may have said why before it hung up.
                    let said = self.hear().await.unwrap_or_default();
                    let why = if said.is_empty() { error.to_string() } else { said };
                    self.scan.judge(Verdict::Failed(why));
                }
                Some(Ok(chunk))
            }
            Some(broken) => Some(broken),
            None => {
                self.over = true;
                let verdict = match self.end().await {
                    Ok(said) => understand(&said),
                    Err(error) => Verdict::Failed(error.to_string()),
                };
                self.scan.judge(verdict.clone());
                // What was found never comes to its end, so nothing of it is kept.
                let Verdict::Found(name) = verdict else { return None };
                Some(Err(io::Error::other(name)))
            }
        }
    }

    fn failed(&self) -> bool {
        self.scan.verdict.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    async fn show(&mut self, chunk: &[u8]) -> io::Result<()> {
        if self.failed() || chunk.is_empty() {
            return Ok(());
        }
        let clamd = self.clamd().await?;
        let length = u32::try_from(chunk.len()).map_err(io::Error::other)?;
        in_time(async {
            clamd.write_all(&length.to_be_bytes()).await?;
            clamd.write_all(chunk).await
        })
        .await
    }

    async fn end(&mut self) -> io::Result<String> {
        let clamd = self.clamd().await?;
        in_time(clamd.write_all(&[0; 4])).await?;
        self.hear().await
    }

    async fn clamd(&mut self) -> io::Result<&mut TcpStream> {
        if self.clamd.is_none() {
            let mut open = in_time(TcpStream::connect(&self.address)).await?;
            in_time(open.write_all(b"zINSTREAM\0")).await?;
            self.clamd = Some(open);
        }
        self.clamd.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    async fn hear(&mut self) -> io::Result<String> {
        let clamd = self.clamd.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let mut said = Vec::new();
        in_time(async {
            while said.len() < LONGEST && !said.ends_with(&[0]) {
                let mut more = [0; 256];
                let read = clamd.read(&mut more).await?;
                if read == 0 {
                    break;
                }
                said.extend_from_slice(more.get(..read).unwrap_or_default());
            }
            Ok(())
        })
        .await?;
        Ok(String::from_utf8_lossy(&said).trim_end_matches('\0').trim().to_owned())
    }
}

async fn in_time<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(PATIENCE, work)
        .await
        .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "clamd does not answer")))
}

/// `stream: OK`, `stream: Some.Name FOUND`, or trouble in clamd's own words.
fn understand(said: &str) -> Verdict {
    let said = said.strip_prefix("stream: ").unwrap_or(said);
    if said == "OK" {
        return Verdict::Clean;
    }
    match said.strip_suffix(" FOUND") {
        Some(name) => Verdict::Found(name.to_owned()),
        None => Verdict::Failed(said.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clamd_says_is_understood_and_nothing_else_is_clean() {
        assert_eq!(understand("stream: OK"), Verdict::Clean);
        assert_eq!(understand("stream: Eicar FOUND"), Verdict::Found("Eicar".to_owned()));
        for trouble in ["", "INSTREAM size limit exceeded. ERROR", "stream: NOT OK"] {
            assert_eq!(understand(trouble), Verdict::Failed(trouble.replace("stream: ", "")));
        }
    }
}
