//! The file in the body of an upload: the body itself, or the file of a form.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
};

use bytes::Bytes;
use futures::{Stream, TryStreamExt, stream};
use multer::{Field, Multipart, parse_boundary};
use poem::{Request, http::header};

use crate::{
    content_disposition,
    content_sniffing::{Chunks, DRAIN_TIMEOUT},
    problem::{Kind, Problem},
};

/// The file in the body of a request.
pub(super) struct FileBody {
    /// Its name, if the request has one.
    pub(super) name: Option<String>,
    /// Whether the request states the file's size.
    pub(super) size: StatedSize,
    pub(super) bytes: Chunks,
}

/// What a request states about the size of its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StatedSize {
    Exactly(u64),
    /// The file is in a form, which is larger than it.
    LessThan(u64),
    Unknown,
}

/// Bytes that a form may have before its file, and after it: headers, and the fields that browsers and
/// libraries for uploads add. They are not used.
const MAX_BESIDE_FILE: u64 = 64 * 1024;

/// Finds the file in the body of a request.
///
/// # Errors
/// When the body is a form without a file.
pub(super) async fn open(request: &Request, body: Chunks) -> Result<FileBody, Problem> {
    let length = request.header("content-length").and_then(|text| text.parse::<u64>().ok());
    let content_type = request.content_type().unwrap_or_default();
    if !content_type.to_ascii_lowercase().starts_with("multipart/form-data") {
        let disposition = request.headers().get(header::CONTENT_DISPOSITION);
        return Ok(FileBody {
            name: disposition.and_then(|value| content_disposition::file_name(value.as_bytes())),
            size: length.map_or(StatedSize::Unknown, StatedSize::Exactly),
            bytes: body,
        });
    }
    let malformed = |detail: String| Problem::field(Kind::Malformed, "#", detail);
    let boundary = parse_boundary(content_type);
    let boundary = boundary.map_err(|error| malformed(reason(error)))?;
    let left = Arc::new(AtomicU64::new(MAX_BESIDE_FILE));
    let mut form = Multipart::new(limited(body, Arc::clone(&left)), boundary);
    let part = loop {
        let part = form.next_field().await.map_err(|error| malformed(reason(error)))?;
        let part = part.ok_or_else(|| malformed("the form has no file".to_owned()))?;
        if is_file(&part) {
            break part;
        }
    };
    left.store(u64::MAX, Ordering::Relaxed);
    let size = length.map_or(StatedSize::Unknown, StatedSize::LessThan);
    let name = file_name(&part);
    let state = Reading { part, form, left };
    Ok(FileBody { name, size, bytes: Box::pin(stream::try_unfold(state, Reading::next)) })
}

fn file_name(part: &Field<'_>) -> Option<String> {
    let disposition = part.headers().get(header::CONTENT_DISPOSITION);
    disposition.and_then(|value| content_disposition::file_name(value.as_bytes()))
}

/// True for the part with the file: it has a file name, or the name `file`.
fn is_file(part: &Field<'_>) -> bool {
    file_name(part).is_some() || part.name() == Some("file")
}

/// Why a form cannot be read.
fn reason(error: multer::Error) -> String {
    match error {
        multer::Error::StreamReadFailed(cause) => format!("the form cannot be read: {cause}"),
        error => format!("the form cannot be read: {error}"),
    }
}

/// The body of a form for `multer`, which buffers whatever is ready: one chunk at a time. Ends with an
/// error instead of reading on when as many bytes as `left` were read.
fn limited(
    mut body: Chunks,
    left: Arc<AtomicU64>,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let mut has_yielded = false;
    stream::poll_fn(move |context| {
        if std::mem::take(&mut has_yielded) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = left.load(Ordering::Relaxed);
        if before == 0 {
            let detail = "what it has beside the file is too large";
            return Poll::Ready(Some(Err(io::Error::other(detail))));
        }
        let polled = body.as_mut().poll_next(context);
        if let Poll::Ready(Some(Ok(chunk))) = &polled {
            has_yielded = true;
            if before != u64::MAX {
                let length = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
                left.store(before.saturating_sub(length), Ordering::Relaxed);
            }
        }
        polled
    })
}

/// Reads the rest of a rejected form for a moment: a client that is still sending would not receive the
/// response.
async fn drain(mut form: Multipart<'static>, left: &AtomicU64) {
    left.store(u64::MAX, Ordering::Relaxed);
    let end = async { while let Ok(Some(_)) = form.next_field().await {} };
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, end).await;
}

/// The file's part of a form that is being read.
struct Reading {
    part: Field<'static>,
    form: Multipart<'static>,
    left: Arc<AtomicU64>,
}

impl Reading {
    async fn next(mut self) -> io::Result<Option<(Bytes, Self)>> {
        if let Some(chunk) =
            self.part.try_next().await.map_err(|error| io::Error::other(reason(error)))?
        {
            return Ok(Some((chunk, self)));
        }
        let Self { part, mut form, left } = self;
        drop(part);
        left.store(MAX_BESIDE_FILE, Ordering::Relaxed);
        let failed = |error| io::Error::other(reason(error));
        while let Some(other) = form.next_field().await.map_err(failed)? {
            if is_file(&other) {
                drop(other);
                drain(form, &left).await;
                return Err(io::Error::other("the form has more than one file"));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=x";

    /// The file's name and content in a request whose body comes in chunks of `size` bytes.
    async fn read(
        content_type: &str,
        body: &str,
        size: usize,
    ) -> Result<(Option<String>, String), String> {
        let request = Request::builder()
            .content_type(content_type)
            .header("content-disposition", "attachment; filename=\"outer.mp4\"")
            .finish();
        let chunks: Vec<_> =
            body.as_bytes().chunks(size).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
        let file = open(&request, Box::pin(stream::iter(chunks))).await;
        let file = file.map_err(|problem| format!("{problem:?}"))?;
        let bytes: Vec<Bytes> = file.bytes.try_collect().await.map_err(|e| e.to_string())?;
        Ok((file.name, String::from_utf8(bytes.concat()).unwrap()))
    }

    fn form(parts: &str) -> String {
        format!("{parts}--x--\r\n").replace('\n', "\r\n").replace("\r\r", "\r")
    }

    #[tokio::test]
    async fn a_file_is_the_body_or_the_only_file_of_a_form() {
        let file = |disposition: &str| {
            form(&format!(
                "--x\nContent-Disposition: form-data; {disposition}\n\ncontent\r\n--\nx\n"
            ))
        };
        let content = "content\r\n--\r\nx".to_owned();
        for size in [1, 3, 1_000] {
            let plain = read("video/mp4", "content", size).await;
            assert_eq!(plain, Ok((Some("outer.mp4".to_owned()), "content".to_owned())));
            for (disposition, name) in [
                ("name=\"f\"; filename=\"Fée; 1.mp4\"", Some("Fée; 1.mp4")),
                ("name=f; filename*=UTF-8''F%C3%A9e.mp4; filename=x", Some("Fée.mp4")),
                ("name=\"file\"", None),
            ] {
                let expected = Ok((name.map(str::to_owned), content.clone()));
                assert_eq!(read(TYPE, &file(disposition), size).await, expected, "{disposition}");
            }
            // Pages and libraries add fields.
            let field = |name: &str| {
                format!("--x\nContent-Disposition: form-data; name=\"{name}\"\n\nvalue\n")
            };
            let file = "--x\nContent-Disposition: form-data; name=\"f\"; filename=\"a\"\n\nb\n";
            let among = form(&format!("{}{file}{}{}", field("title"), field("submit"), field("x")));
            assert_eq!(read(TYPE, &among, size).await, Ok((Some("a".to_owned()), "b".to_owned())));
        }
    }

    #[tokio::test]
    async fn other_forms_are_rejected() {
        let field = "--x\nContent-Disposition: form-data; name=\"title\"\n\na\n";
        let file = "--x\nContent-Disposition: form-data; name=\"f\"; filename=\"a\"\n\na\n";
        let cut = form(file).replace("--x--\r\n", "");
        let endless = format!("--x\r\nA: {}", "b".repeat(1_000_000));
        for (body, detail) in [
            (form(field), "no file"),
            (form(&format!("{file}{field}{file}")), "more than one file"),
            (form(&format!("{}{file}", field.repeat(2_000))), "too large"),
            (form(&format!("{file}{}", field.repeat(2_000))), "too large"),
            (form(""), "no file"),
            (cut, "incomplete"),
            (endless, "too large"),
        ] {
            let error = read(TYPE, &body, 1_000).await.unwrap_err();
            assert!(error.to_lowercase().contains(detail), "{detail}: {error}");
        }
        assert!(read("multipart/form-data", "a", 9).await.is_err());
    }

    #[tokio::test]
    async fn a_form_is_not_buffered_when_its_file_is_read_slowly() {
        let sent = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&sent);
        let head = "--x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a\"\r\n\r\n";
        let chunks = std::iter::once(Bytes::from(head))
            .chain(std::iter::repeat_n(Bytes::from(vec![7; 1_000]), 1_000));
        let chunks = chunks.inspect(move |_| _ = count.fetch_add(1, Ordering::Relaxed));
        let request = Request::builder().content_type(TYPE).finish();
        let file = open(&request, Box::pin(stream::iter(chunks.map(Ok)))).await.unwrap();
        let mut bytes = file.bytes;
        bytes.try_next().await.unwrap();
        assert!(sent.load(Ordering::Relaxed) < 10, "{sent:?}");
    }
}
