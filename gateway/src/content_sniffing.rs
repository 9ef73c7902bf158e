//! What an upload is, by its first bytes, before any of it is kept.

use std::{io, pin::Pin, time::Duration};

use bytes::Bytes;
use ffapi_domain::media::{EXTENSIONS, MAGIC_BYTES, magic};
use futures::{Stream, StreamExt, stream};

use crate::problem::{Kind, Problem};

pub(crate) type Chunks = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

const MOMENT: Duration = Duration::from_secs(2);

/// The same bytes, if they begin like something that the media engine reads, and like what their name
/// says.
pub(crate) async fn look_at<S>(bytes: S, name: Option<&str>) -> Result<Chunks, Problem>
where
    S: Stream<Item = io::Result<Bytes>> + Send + 'static,
{
    let mut bytes: Chunks = Box::pin(bytes.fuse());
    let (mut head, mut seen) = (Vec::new(), Vec::new());
    while head.len() < MAGIC_BYTES {
        let Some(chunk) = bytes.next().await else { break };
        // What broke off is told by whoever reads on.
        if let Ok(chunk) = &chunk {
            head.extend_from_slice(chunk.get(..MAGIC_BYTES.min(chunk.len())).unwrap_or_default());
        }
        let broke = chunk.is_err();
        seen.push(chunk);
        if broke {
            return Ok(Box::pin(stream::iter(seen).chain(bytes)));
        }
    }
    match judge(&head, name) {
        Ok(()) => Ok(Box::pin(stream::iter(seen).chain(bytes))),
        Err(problem) => {
            drain(bytes).await;
            Err(problem)
        }
    }
}

/// Lets a sender finish, for a moment: who is still sending does not hear why it was refused.
async fn drain(mut bytes: Chunks) {
    let end = async { while let Some(Ok(_)) = bytes.next().await {} };
    let _ = tokio::time::timeout(MOMENT, end).await;
}

fn judge(head: &[u8], name: Option<&str>) -> Result<(), Problem> {
    let refuse =
        |pointer: &str, detail: String| Err(Problem::field(Kind::Invalid, pointer, detail));
    if head.is_empty() {
        return refuse("#body", "the file is empty".to_owned());
    }
    let Some(found) = magic(head) else {
        let detail = "unsupported file type: the file does not begin like video, audio, an image or subtitles that can be read";
        return refuse("#body", detail.to_owned());
    };
    let extension = name.and_then(|name| name.rsplit_once('.'));
    let extension = extension.map(|(_, extension)| extension.to_ascii_lowercase());
    let lies = |extension: &String| {
        EXTENSIONS.contains(&extension.as_str()) && !found.extensions.contains(&extension.as_str())
    };
    if let Some(extension) = extension.filter(lies) {
        let detail = format!(
            "the name ends in `.{extension}`, but the file is {}; give it the right extension",
            found.name
        );
        return refuse("#Content-Disposition", detail);
    }
    Ok(())
}
