//! The next bytes of an upload: they are kept as they arrive, so that an interrupted request loses
//! at most one part.

use bytes::{Bytes, BytesMut};
use ffapi_domain::UploadId;
use ffapi_storage::{LastPart, TenantStorage};
use futures::StreamExt;
use poem::Request;

use super::{
    checksum::Checksum,
    client::Tus,
    continued::{Assumed, Continued},
    description::Description,
    finish::finish,
    metadata,
    part_buffer::PartBuffer,
    turn::Turn,
};
use crate::{
    content_sniffing::{self, Chunks},
    problem::{Kind, Problem},
    throttle,
    uncancelled::uncancelled,
    uploads::receive::Uploader,
};

/// The content type of bytes of an upload.
pub(super) const CONTENT_TYPE: &str = "application/offset+octet-stream";

/// A smaller part is joined with the next one, in bytes.
const MIN_PART: u64 = 64 * 1024;

/// What a request says about its bytes.
pub(super) struct Append {
    offset: u64,
    checksum: Option<Checksum>,
    /// The length of the upload, if it was not known before.
    length: Option<u64>,
}

/// The header `Upload-Length`, if it is there.
pub(super) fn upload_length(request: &Request) -> Result<Option<u64>, Problem> {
    let length = request.header("upload-length").map(str::parse::<u64>).transpose();
    length.map_err(|_| Problem::header(Kind::Malformed, "Upload-Length", "it is no number"))
}

impl Append {
    /// Reads the headers of a `PATCH`.
    pub(super) fn read(request: &Request) -> Result<Self, Problem> {
        if request.content_type() != Some(CONTENT_TYPE) {
            let detail = format!("the content type is `{CONTENT_TYPE}`");
            return Err(Problem::new(Kind::UnsupportedMediaType, detail));
        }
        let offset = request.header("upload-offset").and_then(|offset| offset.parse().ok());
        let missing = || Problem::header(Kind::Malformed, "Upload-Offset", "a number is needed");
        Ok(Self { offset: offset.ok_or_else(missing)?, ..Self::first(request)? })
    }

    /// Reads the headers of a `POST` that has the first bytes.
    pub(super) fn first(request: &Request) -> Result<Self, Problem> {
        let checksum = request.header("upload-checksum").map(Checksum::parse).transpose()?;
        Ok(Self { offset: 0, checksum, length: upload_length(request)? })
    }
}

/// Stores the bytes of a request, and completes the upload if they are the last ones; returns how
/// many bytes of the upload are received.
pub(super) async fn append(
    tus: &Tus,
    request: &mut Request,
    uploader: Uploader,
    id: UploadId,
    append: Append,
) -> Result<u64, Problem> {
    let upload = tus.upload(&uploader, id);
    let Some(partial) = tus.gateway.storage.of(&upload.tenant).partial(id).await? else {
        return Err(upload.missing().await?);
    };
    let description = Description::decode(&partial.description)?;
    let max_bytes = tus.max_bytes();
    let length = description.length.or(append.length);
    let assumed = Assumed { offset: append.offset, length, max_bytes };
    assumed.must_be_true(&description, &partial)?;
    let stated = request.header("content-length").and_then(|text| text.parse::<u64>().ok());
    let limits = tus.gateway.credentials.limits(&tus.principal.tenant);
    let body = request.take_body().into_bytes_stream();
    let mut bytes: Chunks = Box::pin(throttle::throttle(limits.upload_bytes_per_second, body));
    let left = length.unwrap_or(max_bytes).min(max_bytes).saturating_sub(append.offset);
    if length.is_some_and(|length| length > max_bytes) || stated > Some(left) {
        content_sniffing::drain(bytes).await;
        return Err(too_many(left));
    }
    let buffer = PartBuffer::of(&tus.principal.tenant).await?;
    let name = description.metadata.as_deref().map(metadata::file_name).transpose()?.flatten();
    if append.offset == 0 && !description.is_part {
        // Other than media files are rejected by their first bytes.
        bytes = content_sniffing::check(bytes, name.as_deref()).await?;
    }
    let Append { offset, checksum, .. } = append;
    uncancelled(async move {
        // All of this may have changed while the client had to send.
        let (turn, partial) = match Turn::take(upload, assumed).await {
            Ok(taken) => taken,
            Err(problem) => {
                content_sniffing::drain(bytes).await;
                return Err(problem);
            }
        };
        let end = turn.end(max_bytes);
        let left = end.saturating_sub(offset);
        if stated > Some(left) {
            content_sniffing::drain(bytes).await;
            return Err(too_many(left));
        }
        let last = partial.last().filter(|last| last.size < MIN_PART && partial.size() == offset);
        let appending = Appending { turn, uploader, offset, end, checksum, buffer, last };
        appending.run(bytes).await
    })
    .await
}

fn too_many(left: u64) -> Problem {
    Problem::new(Kind::TooLarge, format!("{left} bytes of the upload are missing"))
}

/// A request whose bytes are being stored.
struct Appending {
    turn: Turn,
    uploader: Uploader,
    offset: u64,
    /// The offset that may not be exceeded.
    end: u64,
    checksum: Option<Checksum>,
    buffer: PartBuffer,
    /// The last part so far, if it is a small one.
    last: Option<LastPart>,
}

impl Appending {
    async fn run(mut self, bytes: Chunks) -> Result<u64, Problem> {
        let (mut stored, has_checksum) = (Vec::new(), self.checksum.is_some());
        if let Err(problem) = self.receive(bytes, &mut stored).await {
            if has_checksum {
                self.take_back(stored).await?;
            }
            return Err(problem);
        }
        let (storage, id) = (self.storage(), self.turn.of().id);
        let Some(partial) = storage.partial(id).await? else {
            return Err(self.turn.of().missing().await?);
        };
        let description = Description::decode(&partial.description)?;
        let size = partial.size();
        if description.is_complete_at(size) && !description.is_part {
            finish(&self.turn, self.uploader).await?;
        }
        Ok(size)
    }

    fn storage(&self) -> TenantStorage {
        let Continued { gateway, tenant, .. } = self.turn.of();
        gateway.storage.of(tenant)
    }

    /// Deletes parts that may not be what the client meant, unless a later request has gone on from them.
    async fn take_back(&self, stored: Vec<u64>) -> Result<(), Problem> {
        for offset in stored {
            self.turn.check(offset).await?;
            self.storage().remove_part(self.turn.of().id, offset).await?;
        }
        Ok(())
    }

    /// Stores the bytes of the request in parts, whose offsets are added to `stored`, and checks them.
    async fn receive(&mut self, mut bytes: Chunks, stored: &mut Vec<u64>) -> Result<(), Problem> {
        let mut pending = BytesMut::new();
        let mut is_interrupted = false;
        while let Some(chunk) = bytes.next().await {
            let Ok(chunk) = chunk else {
                is_interrupted = true;
                break;
            };
            if let Some(checksum) = &mut self.checksum {
                checksum.update(&chunk);
            }
            pending.extend_from_slice(&chunk);
            if self.offset.saturating_add(pending.len() as u64) > self.end {
                return Err(Problem::new(Kind::TooLarge, "these are more bytes than are missing"));
            }
            if pending.len() as u64 >= self.buffer.size {
                self.store(pending.split().freeze(), stored).await?;
            }
        }
        // The last bytes are stored only if all are what the client meant.
        if let Some(checksum) = self.checksum.take()
            && (is_interrupted || !checksum.matches())
        {
            let detail = "the bytes do not have the checksum of `Upload-Checksum`";
            return Err(Problem::header(Kind::ChecksumMismatch, "Upload-Checksum", detail));
        }
        if stored.is_empty() && !pending.is_empty() {
            pending = self.joined_with_last(pending).await?;
        }
        self.store(pending.freeze(), stored).await?;
        if is_interrupted {
            return Err(Problem::new(Kind::Malformed, "the connection was interrupted"));
        }
        Ok(())
    }

    /// The bytes after those of the last part, if that is a small one: the part is replaced by both. Each
    /// part is a file, and all are listed by every request.
    async fn joined_with_last(&mut self, bytes: BytesMut) -> Result<BytesMut, Problem> {
        let Some(last) = self.last.take() else { return Ok(bytes) };
        let before = self.storage().read_part(self.turn.of().id, last.offset).await?;
        if before.len() as u64 != last.size {
            return Ok(bytes);
        }
        self.offset = last.offset;
        let mut joined = BytesMut::from(before);
        joined.extend_from_slice(&bytes);
        Ok(joined)
    }

    async fn store(&mut self, part: Bytes, stored: &mut Vec<u64>) -> Result<(), Problem> {
        if part.is_empty() {
            return Ok(());
        }
        let end = self.offset.saturating_add(part.len() as u64);
        self.turn.check_or_renew(end).await?;
        stored.push(self.offset);
        self.storage().append_partial(self.turn.of().id, self.offset, part).await?;
        self.turn.check(end).await?;
        self.offset = end;
        Ok(())
    }
}
