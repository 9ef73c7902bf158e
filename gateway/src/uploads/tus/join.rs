//! Joins uploads that are parts of a file.

use std::{collections::BTreeSet, sync::Arc};

use ffapi_domain::UploadId;
use ffapi_storage::PartialUpload;
use futures::{StreamExt, stream};

use super::{
    client::Tus,
    continued::Continued,
    finish::{is_rejected, of_parts},
    metadata,
    remove::remove,
};
use crate::{
    content_sniffing,
    problem::{Kind, Problem},
    storage_holds::StorageNeed,
    uploads::{
        receive::{IncomingFile, Received, Uploader, receive_held},
        reserve::Identity,
    },
};

/// The complete parts of a file.
pub(super) async fn sources(
    tus: &Tus,
    parts: Vec<UploadId>,
) -> Result<Vec<(UploadId, PartialUpload)>, Problem> {
    let (mut sources, mut seen, mut length) = (Vec::new(), BTreeSet::new(), 0_u64);
    let max = tus.max_bytes();
    for part in parts {
        let (description, partial) = tus.partial(part).await?;
        if !description.is_part || !description.is_complete_at(partial.size()) {
            let detail = format!("{part} is no complete part (`Upload-Concat: partial`)");
            return Err(Problem::header(Kind::Conflict, "Upload-Concat", detail));
        }
        if !seen.insert(part) {
            let detail = format!("{part} is named twice");
            return Err(Problem::header(Kind::Malformed, "Upload-Concat", detail));
        }
        length = length.saturating_add(partial.size());
        if length > max {
            let problem = Problem::new(Kind::TooLarge, format!("a file is at most {max} bytes"));
            return Err(problem.with_header("tus-max-size", max.to_string()));
        }
        sources.push((part, partial));
    }
    Ok(sources)
}

/// Makes one upload of parts, which are then deleted. If the file is rejected, they are deleted as well;
/// after any other failure they are kept, with the storage that is held for them.
pub(super) async fn join(
    whole: Continued,
    uploader: Uploader,
    sources: Vec<(UploadId, PartialUpload)>,
    metadata: Option<String>,
) -> Result<(), Problem> {
    let received = receive_all(&whole, uploader, &sources, metadata).await;
    if received.as_ref().err().is_none_or(is_rejected) {
        for (source, _) in sources {
            if let Err(problem) = remove(&Continued { id: source, ..whole.clone() }).await {
                let kind = problem.kind();
                tracing::debug!(?kind, upload = %source, "a part is kept until it expires");
            }
        }
    }
    received.map(drop).map_err(of_parts)
}

async fn receive_all(
    whole: &Continued,
    uploader: Uploader,
    sources: &[(UploadId, PartialUpload)],
    metadata: Option<String>,
) -> Result<Received, Problem> {
    let Continued { gateway, tenant, caller, id } = whole;
    let size = sources.iter().map(|(_, partial)| partial.size()).sum();
    let name = metadata.as_deref().map(metadata::file_name).transpose()?.flatten();
    let hold = gateway.storage_holds.hold(tenant, caller, *id, StorageNeed::Exactly(size)).await?;
    let storage = gateway.storage.of(tenant);
    let streams: Vec<_> =
        sources.iter().map(|(id, partial)| storage.read_partial(*id, partial)).collect();
    let bytes = content_sniffing::check(stream::iter(streams).flatten(), name.as_deref()).await?;
    let identity = Identity::New(*id);
    let file = IncomingFile { identity, name, announced: Some(size), max: hold.bytes, bytes };
    receive_held(Arc::clone(gateway), uploader, file, hold).await
}
