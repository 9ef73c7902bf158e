//! Makes an upload of received parts.

use std::sync::Arc;

use ffapi_domain::{
    UploadId,
    storage_quota::{StorageQuota, StorageQuotaCommand},
};
use ffapi_storage::PartialUpload;
use futures::{StreamExt, stream};

use super::metadata;
use crate::{
    content_sniffing,
    problem::Problem,
    state::Gateway,
    storage_holds::StorageNeed,
    uploads::receive::{IncomingFile, Received, Uploader, receive},
};

/// Stores, inspects and records the file that consists of these sources, and deletes them. If the file is
/// rejected, they are deleted as well; after any other failure the client may try again.
pub(super) async fn finish(
    gateway: Arc<Gateway>,
    uploader: Uploader,
    id: UploadId,
    sources: Vec<(UploadId, PartialUpload)>,
    metadata: Option<String>,
) -> Result<Received, Problem> {
    let tenant = uploader.tenant().clone();
    let storage = gateway.storage.of(&tenant);
    let size = sources.iter().map(|(_, partial)| partial.size()).sum();
    let name = metadata.as_deref().map(metadata::file_name).transpose()?.flatten();
    let need = StorageNeed::Exactly(size);
    let caller = uploader.caller().clone();
    let hold = gateway.storage_holds.hold(&tenant, &caller, id, need).await?;
    let streams: Vec<_> =
        sources.iter().map(|(id, partial)| storage.read_partial(*id, partial)).collect();
    let bytes = stream::iter(streams).flatten();
    let received = match content_sniffing::check(bytes, name.as_deref()).await {
        Ok(bytes) => {
            let file = IncomingFile { id, name, key: None, announced: Some(size), bytes };
            receive(Arc::clone(&gateway), uploader, file, hold).await
        }
        Err(problem) => Err(problem),
    };
    if received.as_ref().map_or_else(Problem::is_final, |_| true) {
        for (source, _) in &sources {
            storage.drop_partial(*source).await?;
            // Joined parts held storage of their own; what the file itself held is counted, or released.
            if *source != id {
                let command = StorageQuotaCommand::Release { thing: source.to_string() };
                let name = tenant.as_str();
                let released =
                    gateway.commands.handle::<StorageQuota>(name, name, &caller, command).await;
                if let Err(error) = released {
                    tracing::debug!(%error, upload = %source, "a part's storage is held until it expires");
                }
            }
        }
    }
    received
}
