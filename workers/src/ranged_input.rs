//! Serves objects of remote stores to a media child, which reads them by ranges over a socket while
//! it already decodes: no whole copy is made first.

use std::{
    fs::File,
    io,
    num::NonZeroUsize,
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use ffapi_media::{
    MediaError,
    protocol::ranged::{FAILED, REQUEST_SIZE, RangeRequest},
};
use ffapi_storage::{RemoteObject, StorageError};
use lru::LruCache;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    sync::SetOnce,
    task::{JoinHandle, JoinSet},
};

use crate::failure::failed;

/// Bytes that are requested from a store at once.
const BLOCK_SIZE: u64 = 4 * 1024 * 1024;
/// Blocks of one object that are kept.
const KEPT_BLOCKS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(3);
/// An object that is not read for this long keeps no blocks.
const IDLE: Duration = Duration::from_secs(10);

/// The remote inputs of one task.
#[derive(Debug, Default)]
pub(crate) struct RangedInputs {
    serving: JoinSet<()>,
    state: Arc<State>,
}

/// What the inputs of a task have in common.
#[derive(Debug, Default)]
struct State {
    /// Reads that wait for a store.
    waiting: AtomicU32,
    /// The first read that failed.
    failure: SetOnce<StorageError>,
}

impl RangedInputs {
    /// Serves an object until this value is dropped; returns the child's end.
    pub(crate) fn serve(&mut self, object: RemoteObject) -> io::Result<File> {
        let (ours, theirs) = UnixStream::pair()?;
        let theirs = theirs.into_std()?;
        theirs.set_nonblocking(false)?;
        let mut blocks = Blocks::new(object, Arc::clone(&self.state));
        self.serving.spawn(async move {
            if let Err(error) = serve(ours, &mut blocks).await {
                // As a rule the child has ended.
                tracing::debug!(kind = ?error.kind(), "an input is no longer served");
            }
        });
        Ok(OwnedFd::from(theirs).into())
    }

    /// True while the child waits for a store.
    pub(crate) fn are_waiting(&self) -> bool {
        self.state.waiting.load(Ordering::Relaxed) > 0
    }

    /// Completes when a read has failed, before the child learns it: what the child then reports is
    /// a consequence.
    pub(crate) async fn failed(&self) -> MediaError {
        failed(self.state.failure.wait().await)
    }
}

async fn serve(mut socket: UnixStream, blocks: &mut Blocks) -> io::Result<()> {
    socket.write_all(&blocks.object.size().to_be_bytes()).await?;
    loop {
        if tokio::time::timeout(IDLE, socket.readable()).await.is_err() {
            blocks.forget();
            socket.readable().await?;
        }
        let mut request = [0; REQUEST_SIZE];
        socket.read_exact(&mut request).await?;
        let request = RangeRequest::decode(request).ok_or(io::ErrorKind::InvalidData)?;
        match blocks.read(request).await {
            Ok(bytes) => {
                let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
                socket.write_all(&length.to_be_bytes()).await?;
                socket.write_all(&bytes).await?;
            }
            Err(error) => {
                let _ = blocks.state.failure.set(error);
                socket.write_all(&FAILED.to_be_bytes()).await?;
            }
        }
    }
}

/// The blocks of an object that are in memory.
struct Blocks {
    object: RemoteObject,
    kept: LruCache<u64, Bytes>,
    /// The block that is read ahead.
    ahead: Option<(u64, JoinHandle<Result<Bytes, StorageError>>)>,
    state: Arc<State>,
}

impl Blocks {
    fn new(object: RemoteObject, state: Arc<State>) -> Self {
        Self { object, kept: LruCache::new(KEPT_BLOCKS), ahead: None, state }
    }

    fn forget(&mut self) {
        self.kept.clear();
        if let Some((_, reading)) = self.ahead.take() {
            reading.abort();
        }
    }

    /// Bytes from the request's offset on, up to the end of their block.
    async fn read(&mut self, request: RangeRequest) -> Result<Bytes, StorageError> {
        let number = request.offset.checked_div(BLOCK_SIZE).unwrap_or_default();
        let kept = self.kept.get(&number).cloned();
        let block = if let Some(block) = kept {
            block
        } else {
            self.state.waiting.fetch_add(1, Ordering::Relaxed);
            let fetched = self.fetch(number).await;
            self.state.waiting.fetch_sub(1, Ordering::Relaxed);
            fetched?
        };
        let start = request.offset.saturating_sub(number.saturating_mul(BLOCK_SIZE));
        let start = usize::try_from(start).unwrap_or(usize::MAX).min(block.len());
        let length = usize::try_from(request.length).unwrap_or(usize::MAX);
        Ok(block.slice(start..start.saturating_add(length).min(block.len())))
    }

    async fn fetch(&mut self, number: u64) -> Result<Bytes, StorageError> {
        let ahead = self.ahead.take();
        let block = match ahead {
            Some((ahead, reading)) if ahead == number => {
                reading.await.map_err(|error| StorageError::Unavailable(error.into()))??
            }
            other => {
                if let Some((_, reading)) = other {
                    reading.abort();
                }
                self.object.read_at(number.saturating_mul(BLOCK_SIZE), BLOCK_SIZE).await?
            }
        };
        if number.checked_sub(1).is_some_and(|before| self.kept.contains(&before)) {
            let (object, next) = (self.object.clone(), number.saturating_add(1));
            let reading =
                async move { object.read_at(next.saturating_mul(BLOCK_SIZE), BLOCK_SIZE).await };
            self.ahead = Some((next, tokio::spawn(reading)));
        }
        self.kept.put(number, block.clone());
        Ok(block)
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        self.forget();
    }
}
