use ffapi_domain::UploadId;
use ffapi_projections::{
    Uploads,
    upload::{self, UploadFilter, UploadRow},
};
use poem::http::Uri;
use poem_openapi::Object;

use super::stored::expires_at;
use crate::{auth::Principal, page, problem::Problem, reply::Reply, state::Gateway, tenant_slots};

/// An upload in a list.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
pub(crate) struct UploadSummary {
    /// Id, to be used as a job's `input`.
    id: String,
    /// The name that the client sent.
    file_name: Option<String>,
    /// Size in bytes.
    size: u64,
    /// SHA-256 of the content, in hex.
    sha256: String,
    /// When it was completely received.
    created_at: String,
    /// When it will be deleted; absent if it is kept permanently.
    expires_at: Option<String>,
}

/// A page of uploads.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
pub(crate) struct UploadPage {
    data: Vec<UploadSummary>,
    next_cursor: Option<String>,
    has_more: bool,
}

/// Query parameters of the list of uploads.
pub(super) struct UploadQuery<'a> {
    pub(super) uri: &'a Uri,
    pub(super) limit: Option<u32>,
    pub(super) cursor: Option<String>,
    pub(super) min_position: Option<String>,
}

pub(super) async fn list(
    gateway: &Gateway,
    principal: &Principal,
    query: UploadQuery<'_>,
) -> Result<Reply<200, UploadPage>, Problem> {
    let limit = page::limit(query.limit, "uploads")?;
    let before: Option<UploadId> = page::after(query.cursor.as_deref())?;
    let tenant = &principal.tenant;
    gateway.reads.catch_up::<Uploads>(tenant, query.min_position.as_deref()).await?;
    let _slot = tenant_slots::of_list(tenant).await?;
    let completed_after = gateway.credentials.account(tenant).begins_after;
    let filter = UploadFilter { completed_after, before };
    let more = limit.saturating_add(1);
    let mut rows = upload::page(&gateway.database, tenant, filter, more).await?;
    let next_cursor = page::cut(&mut rows, limit, |row| row.id);
    let link = next_cursor.as_ref().map(|cursor| page::next(query.uri, cursor));
    let has_more = next_cursor.is_some();
    let shown = |row: UploadRow| UploadSummary {
        id: row.id.to_string(),
        file_name: row.file_name.as_ref().cloned(),
        size: row.size,
        sha256: row.sha256,
        created_at: row.created_at.to_string(),
        expires_at: expires_at(gateway, row.created_at),
    };
    let data = rows.into_iter().map(shown).collect();
    Ok(Reply::new(UploadPage { data, next_cursor, has_more }).next(link))
}
