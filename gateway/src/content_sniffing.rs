//! Detects the type of an upload by its first bytes, before any of it is stored.

use std::{io, pin::Pin, time::Duration};

use bytes::Bytes;
use ffapi_domain::media::{EXTENSIONS, MAGIC_BYTES, magic};
use futures::{Stream, StreamExt, stream};

use crate::problem::{Kind, Problem};

pub(crate) type Chunks = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// How long the rest of a rejected upload is still read.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// Passes on the bytes of a file whose type the media engine supports and its extension matches.
///
/// # Errors
/// When the file is empty, its type is not supported, or its extension belongs to another type.
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
async fn drain(mut bytes: Chunks) {
    let end = async { while let Some(Ok(_)) = bytes.next().await {} };
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, end).await;
}

fn check_head(head: &[u8], name: Option<&str>) -> Result<(), Problem> {
    let refuse =
        |pointer: &str, detail: String| Err(Problem::field(Kind::Invalid, pointer, detail));
    if head.is_empty() {
        return refuse("#body", "the file is empty".to_owned());
    }
    let Some(found) = magic(head) else {
        let detail = "unsupported file type: the file does not begin like video, audio, an image or \
                      subtitles that can be read";
        return refuse("#body", detail.to_owned());
    };
    let extension = name.and_then(|name| name.rsplit_once('.'));
    let extension = extension.map(|(_, extension)| extension.to_ascii_lowercase());
    let is_wrong = |extension: &String| {
        EXTENSIONS.contains(&extension.as_str()) && !found.extensions.contains(&extension.as_str())
    };
    if let Some(extension) = extension.filter(is_wrong) {
        let detail = format!(
            "the name ends in `.{extension}`, but the file is {}; give it the right extension",
            found.name
        );
        return refuse("#Content-Disposition", detail);
    }
    Ok(())
}
