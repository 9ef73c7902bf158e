//! Detects the type of an upload by its first bytes, before any of it is stored.

use std::{io, pin::Pin, time::Duration};

use bytes::Bytes;
use ffapi_domain::media::{MAGIC_BYTES, foreign, has_known_extension, magic};
use futures::{Stream, StreamExt, stream};

use crate::problem::{Kind, Problem};

pub(crate) type Chunks = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// How long the rest of a rejected upload is still read.
pub(crate) const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// Passes on the bytes of a file that may be of a type that the media engine supports: by its first
/// bytes or, since not every format has magic bytes, by its extension. A worker then decides by
/// the content.
///
/// # Errors
/// When the file is empty, or certainly of another type.
pub(crate) async fn check<S>(bytes: S, name: Option<&str>) -> Result<Chunks, Problem>
where
    S: Stream<Item = io::Result<Bytes>> + Send + 'static,
{
    let mut bytes: Chunks = Box::pin(bytes.fuse());
    let (mut head, mut seen) = (Vec::new(), Vec::new());
    while head.len() < MAGIC_BYTES {
        let Some(chunk) = bytes.next().await else { break };
        // An error is passed on to the consumer of the stream.
        if let Ok(chunk) = &chunk {
            head.extend_from_slice(chunk.get(..MAGIC_BYTES.min(chunk.len())).unwrap_or_default());
        }
        let failed = chunk.is_err();
        seen.push(chunk);
        if failed {
            return Ok(Box::pin(stream::iter(seen).chain(bytes)));
        }
    }
    match check_head(&head, name) {
        Ok(()) => Ok(Box::pin(stream::iter(seen).chain(bytes))),
        Err(problem) => {
            drain(bytes).await;
            Err(problem)
        }
    }
}

/// Reads on for a moment: a client that is still sending would not receive the response.
pub(crate) async fn drain(mut bytes: Chunks) {
    let end = async { while let Some(Ok(_)) = bytes.next().await {} };
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, end).await;
}

fn check_head(head: &[u8], name: Option<&str>) -> Result<(), Problem> {
    let refuse =
        |pointer: &str, detail: String| Err(Problem::field(Kind::Invalid, pointer, detail));
    if head.is_empty() {
        return refuse("#", "the file is empty".to_owned());
    }
    let may_be_media = magic(head).is_some() || name.is_some_and(has_known_extension);
    if let Some(what) = foreign(head) {
        let detail = format!(
            "unsupported file type: the file begins like {what}; video, audio, images and subtitles \
             are accepted"
        );
        return refuse("#", detail);
    }
    if !may_be_media {
        let detail = "unsupported file type: the file does not begin like video, audio, an image or \
                      subtitles that can be read, and its name has no extension of such a format";
        return refuse("#", detail.to_owned());
    }
    Ok(())
}
