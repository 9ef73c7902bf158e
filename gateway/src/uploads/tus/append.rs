//! The next bytes of an upload: they are kept as they arrive, so that an interrupted request loses
//! at most one part.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use ffapi_domain::{
    UploadId,
    storage_quota::{StorageQuota, StorageQuotaCommand},
};
use ffapi_storage::LastPart;
use futures::StreamExt;
use poem::Request;
use uuid::Uuid;

use super::{
    checksum::Checksum,
    client::Tus,
    description::{Description, offset},
    finish::finish,
    metadata,
    part_buffer::PartBuffer,
};
use crate::{
    clock,
    content_sniffing::{self, Chunks},
    problem::{Kind, Problem},
    state::Gateway,
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
    let (mut description, partial) = tus.partial(id).await?;
    let at = offset(&description, &partial);
    if append.offset != at {
        let detail = format!("the upload continues at {at}");
        let problem = Problem::header(Kind::Conflict, "Upload-Offset", detail);
        return Err(problem.with_header("upload-offset", at.to_string()));
    }
    let max = match description.length {
        Some(length) => length,
        // What was free of the account's storage when the upload began.
        None => held(tus, id).await?.min(append.length.unwrap_or(u64::MAX)),
    };
    let max = max.min(tus.max_bytes());
    if description.length.is_none() {
        description.length = append.length;
    }
    let left = max.saturating_sub(at);
    let stated = request.header("content-length").and_then(|text| text.parse::<u64>().ok());
    let limits = tus.gateway.credentials.limits(&tus.principal.tenant);
    let body = request.take_body().into_bytes_stream();
    let mut bytes: Chunks = Box::pin(throttle::throttle(limits.upload_bytes_per_second, body));
    if description.length.is_some_and(|length| length > max)
        || stated.is_some_and(|stated| stated > left)
    {
        content_sniffing::drain(bytes).await;
        let detail = format!("{left} bytes of the upload are missing");
        return Err(Problem::new(Kind::TooLarge, detail));
    }
    let buffer = PartBuffer::of(&tus.principal.tenant).await?;
    let name = description.metadata.as_deref().map(metadata::file_name).transpose()?.flatten();
    if at == 0 && !description.is_part {
        // Other than media files are rejected by their first bytes.
        bytes = content_sniffing::check(bytes, name.as_deref()).await?;
    }
    let writer = Uuid::now_v7();
    description.writer = Some(writer);
    touch(tus, &uploader, id, &mut description).await?;
    let appending = Appending {
        gateway: Arc::clone(&tus.gateway),
        uploader,
        id,
        writer,
        offset: at,
        end: max,
        checksum: append.checksum,
        buffer,
        last: partial.last().filter(|last| last.size < MIN_PART && partial.size() == at),
    };
    uncancelled(appending.run(bytes)).await
}

/// Bytes of storage that are held for an upload of unknown length.
async fn held(tus: &Tus, id: UploadId) -> Result<u64, Problem> {
    let name = tus.principal.tenant.as_str();
    let quota = tus.gateway.commands.state::<StorageQuota>(name, name).await?;
    Ok(quota.held(&id.to_string()))
}

/// Records that the upload is continued: it expires later.
async fn touch(
    tus: &Tus,
    uploader: &Uploader,
    id: UploadId,
    description: &mut Description,
) -> Result<(), Problem> {
    description.touched = clock::now().as_millis();
    let (gateway, tenant) = (&tus.gateway, &tus.principal.tenant);
    gateway.storage.of(tenant).begin_partial(id, description.encode()?).await?;
    let bytes = match description.length {
        Some(length) => length,
        None => held(tus, id).await?,
    };
    if bytes > 0 {
        let holds = [(id.to_string(), bytes)].into();
        let command = StorageQuotaCommand::Extend { holds, until: description.held_until() };
        let name = tenant.as_str();
        gateway.commands.handle::<StorageQuota>(name, name, uploader.caller(), command).await?;
    }
    Ok(())
}

/// A request whose bytes are being stored.
struct Appending {
    gateway: Arc<Gateway>,
    uploader: Uploader,
    id: UploadId,
    /// This request, as the upload's description names it.
    writer: Uuid,
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
        let received = self.receive(bytes, &mut stored).await;
        let tenant = self.uploader.tenant().clone();
        let storage = self.gateway.storage.of(&tenant);
        if let Err(problem) = received {
            // They may not be what the client meant.
            for offset in stored.into_iter().filter(|_| has_checksum) {
                storage.remove_part(self.id, offset).await?;
            }
            return Err(problem);
        }
        let partial = storage.partial(self.id).await?;
        let partial = partial.ok_or_else(|| Problem::not_found("upload"))?;
        let description = Description::decode(&partial.description)?;
        let size = partial.size();
        if description.is_complete_at(size) && !description.is_part {
            let sources = vec![(self.id, partial)];
            finish(self.gateway, self.uploader, self.id, sources, description.metadata).await?;
        }
        Ok(size)
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

    /// Checks that no later request continues the upload: parts of both would be stored side by side, and
    /// only one of them is counted.
    async fn must_be_newest(&self) -> Result<(), Problem> {
        let storage = self.gateway.storage.of(self.uploader.tenant());
        let description = storage.partial_description(self.id).await?;
        let description = description.ok_or_else(|| Problem::not_found("upload"))?;
        if Description::decode(&description)?.writer == Some(self.writer) {
            return Ok(());
        }
        let detail = "a later request continues this upload";
        Err(Problem::header(Kind::Conflict, "Upload-Offset", detail))
    }

    /// The bytes after those of the last part, if that is a small one: the part is replaced by both. Each
    /// part is a file, and all are listed by every request.
    async fn joined_with_last(&mut self, bytes: BytesMut) -> Result<BytesMut, Problem> {
        let Some(last) = self.last.take() else { return Ok(bytes) };
        let storage = self.gateway.storage.of(self.uploader.tenant());
        let before = storage.read_part(self.id, last.offset).await?;
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
        self.must_be_newest().await?;
        let (size, storage) = (part.len() as u64, self.gateway.storage.of(self.uploader.tenant()));
        storage.append_partial(self.id, self.offset, part).await?;
        stored.push(self.offset);
        self.offset = self.offset.saturating_add(size);
        Ok(())
    }
}
