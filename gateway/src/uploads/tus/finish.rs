//! Makes an upload of received parts.

use std::sync::Arc;

use ffapi_domain::upload::UploadState;

use super::{completion_lock, description::Description, metadata, remove::remove, turn::Turn};
use crate::{
    content_sniffing,
    problem::{Kind, Problem},
    uploads::{
        receive::{IncomingFile, Uploader, receive},
        reserve::Identity,
        stored,
    },
};

/// Stores, inspects and records the file that consists of an upload's parts, and deletes them. If the file
/// is rejected, they are deleted as well; after any other failure they are kept, with the storage that is
/// held for them, and the client may try again.
///
/// The copy takes the place of the parts, so that no storage of its own is held for it: a gateway makes one
/// of an upload at a time.
pub(super) async fn finish(turn: &Turn, uploader: Uploader) -> Result<(), Problem> {
    let upload = turn.of();
    let _completing = completion_lock::acquire(upload.id).await;
    let storage = upload.gateway.storage.of(&upload.tenant);
    let received = match storage.partial(upload.id).await? {
        Some(partial) => {
            let size = partial.size();
            let name = Description::decode(&partial.description)?.metadata;
            let name = name.as_deref().map(metadata::file_name).transpose()?.flatten();
            let parts = storage.read_partial(upload.id, &partial);
            match content_sniffing::check(parts, name.as_deref()).await {
                Ok(bytes) => {
                    let identity = Identity::OfParts(upload.id);
                    let file =
                        IncomingFile { identity, name, announced: Some(size), max: size, bytes };
                    receive(Arc::clone(&upload.gateway), uploader, file).await.map(drop)
                }
                Err(problem) => Err(problem),
            }
        }
        None => Err(Problem::not_found("upload")),
    };
    let Err(problem) = received else { return Ok(storage.drop_partial(upload.id).await?) };
    let state = stored::state(&upload.gateway, &upload.tenant, upload.id).await?;
    if matches!(state, UploadState::Completed { .. }) {
        // Another request was faster.
        return Ok(storage.drop_partial(upload.id).await?);
    }
    if is_rejected(&problem) && turn.check(0).await.is_ok() {
        remove(upload).await?;
    }
    Err(of_parts(problem))
}

/// True if the file itself is the reason.
pub(super) fn is_rejected(problem: &Problem) -> bool {
    problem.kind() == Kind::Invalid
}

/// The problem of a file whose bytes are in the store.
pub(super) fn of_parts(problem: Problem) -> Problem {
    if problem.kind() == Kind::Malformed {
        return Problem::new(Kind::Unavailable, "a part cannot be read at the moment");
    }
    problem
}
