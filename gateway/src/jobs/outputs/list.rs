use ffapi_domain::{
    JobId, Tenant,
    job::{JobStatus, OutputFile},
};
use poem::http::Uri;
use poem_openapi::Object;

use crate::{
    jobs::{
        find::current,
        show::{OutputBody, output},
    },
    page,
    problem::Problem,
    reply::Reply,
    state::Gateway,
};

/// A page of the outputs of a job.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
pub(crate) struct OutputList {
    data: Vec<OutputBody>,
    next_cursor: Option<String>,
    has_more: bool,
}

/// Query parameters of the list of outputs.
pub(super) struct OutputQuery<'a> {
    pub(super) uri: &'a Uri,
    pub(super) limit: Option<u32>,
    pub(super) cursor: Option<String>,
}

pub(super) async fn list(
    gateway: &Gateway,
    tenant: &Tenant,
    id: JobId,
    query: OutputQuery<'_>,
) -> Result<Reply<200, OutputList>, Problem> {
    let limit = page::limit(query.limit, "outputs")?;
    let after: Option<String> = page::after(query.cursor.as_deref())?;
    let (job, _) = current(gateway, tenant, id).await?;
    let is_listed = job.summary.status == JobStatus::Completed;
    let outputs: &[OutputFile] = if is_listed { &job.outputs } else { &[] };
    let start = match after {
        Some(after) => {
            let is_last = |file: &OutputFile| file.name.as_ref().is_some_and(|name| *name == after);
            let found = outputs.iter().position(is_last).ok_or_else(|| {
                let detail = "the output before this page was deleted meanwhile; start over";
                Problem::parameter("cursor", detail)
            })?;
            found.saturating_add(1)
        }
        None => 0,
    };
    let more = usize::try_from(limit).unwrap_or(usize::MAX).saturating_add(1);
    let mut files: Vec<&OutputFile> = outputs.iter().skip(start).take(more).collect();
    let name = |file: &&OutputFile| file.name.as_ref().cloned().unwrap_or_default();
    let next_cursor = page::cut(&mut files, limit, name);
    let link = next_cursor.as_ref().map(|cursor| page::next(query.uri, cursor));
    let has_more = next_cursor.is_some();
    let data = files.into_iter().map(|file| output(id, file)).collect();
    let list = OutputList { data, next_cursor, has_more };
    Ok(Reply::new(list).version(job.summary.version).next(link))
}
