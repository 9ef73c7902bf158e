use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ffapi_domain::{
    BatchId, JobId, Tenant, Timestamp, job::JobStatus, media::MediaRequest, preset::PresetSelector,
};
use ffapi_projections::{
    JobList, job_list,
    job_list::{Filter, PresetOwner, UsedPreset},
};
use percent_encoding::percent_decode_str;
use poem::http::Uri;
use poem_openapi::Object;
use sha2::{Digest, Sha256};

use super::show::SummaryBody;
use crate::{
    auth::Principal, page, presets::apply, problem::Problem, reply::Reply, state::Gateway,
    tenant_slots,
};

/// A page of jobs.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
pub(crate) struct JobPage {
    data: Vec<SummaryBody>,
    next_cursor: Option<String>,
    has_more: bool,
}

/// Query parameters of a list of jobs.
pub(crate) struct JobListQuery<'a> {
    pub(crate) uri: &'a Uri,
    pub(crate) status: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) batch_id: Option<String>,
    pub(crate) preset: Option<String>,
    pub(crate) created_after: Option<String>,
    pub(crate) created_before: Option<String>,
    pub(crate) sort: Option<String>,
    pub(crate) limit: Option<u32>,
    pub(crate) cursor: Option<String>,
    pub(crate) min_position: Option<String>,
}

impl<'a> JobListQuery<'a> {
    /// The first page, without filters.
    pub(crate) const fn of(uri: &'a Uri) -> Self {
        Self {
            uri,
            status: None,
            kind: None,
            batch_id: None,
            preset: None,
            created_after: None,
            created_before: None,
            sort: None,
            limit: None,
            cursor: None,
            min_position: None,
        }
    }
}

fn malformed(field: &str, detail: &str) -> Problem {
    Problem::parameter(field, detail)
}

pub(crate) async fn list(
    gateway: &Gateway,
    principal: &Principal,
    query: JobListQuery<'_>,
) -> Result<Reply<200, JobPage>, Problem> {
    let limit = page::limit(query.limit, "jobs")?;
    let mut filter = filter(&query)?;
    if let Some(preset) = &query.preset {
        filter.preset = Some(used_preset(gateway, &principal.tenant, preset).await?);
    }
    let fingerprint = fingerprint(&filter);
    if let Some(cursor) = &query.cursor {
        filter.after = Some(open_cursor(cursor, &fingerprint)?);
    }
    let tenant = &principal.tenant;
    gateway.reads.catch_up::<JobList>(tenant, query.min_position.as_deref()).await?;
    let more = limit.saturating_add(1);
    let _slot = tenant_slots::of_list(tenant).await?;
    let mut rows = job_list::page(&gateway.database, tenant, &filter, more).await?;
    let has_more = rows.len() > usize::try_from(limit).unwrap_or(usize::MAX);
    rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let last = rows.last().filter(|_| has_more).map(|row| row.id);
    let next_cursor = last.map(|id| URL_SAFE_NO_PAD.encode(format!("{id}.{fingerprint}")));
    let link = next_cursor.as_ref().map(|cursor| page::next(query.uri, cursor));
    let data = rows.iter().map(|row| gateway.present(principal).summary(row)).collect();
    Ok(Reply::new(JobPage { data, next_cursor, has_more }).next(link))
}

/// A fingerprint of a filter, which ties cursors to it.
fn fingerprint(filter: &Filter) -> String {
    let digest = Sha256::digest(format!("{filter:?}"));
    hex::encode(digest.get(..6).unwrap_or_default())
}

/// The filter, without the preset.
fn filter(query: &JobListQuery<'_>) -> Result<Filter, Problem> {
    let statuses = words(query.status.as_deref()).map(|word| {
        serde_json::from_value::<JobStatus>(word.into()).map_err(|_| {
            let detail = "status is one or more of queued, processing, completed, failed and \
                          cancelled, separated by commas";
            malformed("status", detail)
        })
    });
    let statuses = statuses.collect::<Result<Vec<_>, _>>()?;
    let batch = query
        .batch_id
        .as_deref()
        .map(|id| id.parse::<BatchId>().map_err(|error| malformed("batch_id", &error.to_string())));
    let kinds = words(query.kind.as_deref()).map(|word| {
        MediaRequest::KINDS.into_iter().find(|kind| *kind == word).ok_or_else(|| {
            let detail = "kind is one or more of convert, stream, thumbnails, analyze and probe, \
                          separated by commas";
            malformed("kind", detail)
        })
    });
    let time = |field: &str, text: &Option<String>| {
        let parsed = text.as_deref().map(|text| {
            let detail = "a time looks like 2026-11-21T12:00:00Z";
            text.parse::<Timestamp>().map_err(|_| malformed(field, detail))
        });
        parsed.transpose()
    };
    let oldest_first = match query.sort.as_deref() {
        None | Some("created_at:desc") => false,
        Some("created_at:asc") => true,
        Some(_) => return Err(malformed("sort", "sort is created_at:desc or created_at:asc")),
    };
    let mut metadata = BTreeMap::new();
    let pairs = query.uri.query().unwrap_or_default();
    for (name, value) in pairs.split('&').filter_map(|pair| pair.split_once('=')) {
        let (name, value) = (decode(name), decode(value));
        if let Some(label) = name.strip_prefix("metadata.") {
            metadata.insert(label.to_owned(), value);
        }
    }
    Ok(Filter {
        statuses,
        batch: batch.transpose()?,
        preset: None,
        kinds: kinds.collect::<Result<_, _>>()?,
        created_after: time("created_after", &query.created_after)?,
        created_before: time("created_before", &query.created_before)?,
        metadata,
        oldest_first,
        after: None,
    })
}

/// The preset that jobs used: the tenant's own if there is one of the name, as in requests; after it was
/// deleted, that of either.
async fn used_preset(
    gateway: &Gateway,
    tenant: &Tenant,
    text: &str,
) -> Result<UsedPreset, Problem> {
    let wanted: PresetSelector = text.parse().map_err(|_| {
        let detail = "the name of a preset, like web-1080p, or one version of it, like web-1080p@3; \
                      `_/` before it stands for a preset of the operator";
        malformed("preset", detail)
    })?;
    let owner = if wanted.global {
        Some(PresetOwner::Operator)
    } else {
        let newest = PresetSelector { version: None, ..wanted.clone() };
        let found = apply::find(gateway, tenant, &newest).await?;
        found.and_then(|found| UsedPreset::from(found.pinned).owner)
    };
    Ok(UsedPreset { name: wanted.name, version: wanted.version, owner })
}

/// The words of a list that is separated by commas.
fn words(list: Option<&str>) -> impl Iterator<Item = &str> {
    list.into_iter().flat_map(|words| words.split(',')).map(str::trim)
}

/// Decodes a form-encoded name or value.
fn decode(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

fn open_cursor(cursor: &str, fingerprint: &str) -> Result<JobId, Problem> {
    let bad = || malformed("cursor", "take the cursor from `next_cursor` of the same list");
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| bad())?;
    let text = String::from_utf8(bytes).map_err(|_| bad())?;
    let (id, found) = text.split_once('.').ok_or_else(bad)?;
    if found != fingerprint {
        return Err(malformed("cursor", "the cursor belongs to a list with other filters"));
    }
    id.parse().map_err(|_| bad())
}
