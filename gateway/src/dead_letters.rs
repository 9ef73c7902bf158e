//! Dead letters: jobs that failed after their last attempt. They can be listed and retried by hand.

use std::sync::Arc;

use ffapi_commands::Caller;
use ffapi_domain::{
    BadTenant, JobId, Tenant,
    job::{FailureCode, JobView},
    key::Scope,
};
use ffapi_projections::{JobDetail, job_detail};
use futures::FutureExt;
use poem::{Request, Result, web::Data};
use poem_openapi::{Object, OpenApi, param::Query};
use serde::Deserialize;

use crate::{
    audit_notes::AuditRecord,
    auth::Auth,
    body::StrictJson,
    jobs::{
        retry::retry,
        show::{JobBody, show},
    },
    join_in_chunks::join_in_chunks,
    page,
    problem::{Kind, Problem},
    reply::Reply,
    request_context::caller,
    state::Gateway,
};

pub(crate) struct DeadLetters;

/// A page of dead letters.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
pub(crate) struct DeadLetterPage {
    data: Vec<DeadLetter>,
    next_cursor: Option<String>,
    has_more: bool,
}

/// A job that failed after its last attempt.
#[derive(Debug, Object)]
struct DeadLetter {
    tenant: String,
    job: JobBody,
}

/// The dead letters to retry: by id, or all with one error code.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "Redrive")]
pub(crate) struct RedriveBody {
    jobs: Option<Vec<String>>,
    /// An error code, like `media_crashed`.
    code: Option<String>,
    /// Only dead letters of this tenant.
    tenant: Option<String>,
}

/// The ids of the retried jobs.
#[derive(Debug, Object)]
pub(crate) struct Redriven {
    jobs: Vec<String>,
}

/// Maximum number of dead letters that one request retries.
const MAX_REDRIVEN: u32 = 1_000;

fn invalid(pointer: &str, detail: impl Into<String>) -> Problem {
    Problem::field(Kind::Invalid, pointer, detail)
}

/// Parses a tenant, if one is given; `problem` makes the problem of one that is none.
fn tenant(
    text: Option<&str>,
    problem: impl Fn(String) -> Problem,
) -> Result<Option<Tenant>, Problem> {
    let parse = |text: &str| text.parse().map_err(|error: BadTenant| problem(error.to_string()));
    text.map(parse).transpose()
}

/// The failure code of this name, if one is given; `problem` makes the problem of one that is none.
fn code(
    text: Option<&str>,
    problem: impl Fn(String) -> Problem,
) -> Result<Option<FailureCode>, Problem> {
    let find = |text: &str| {
        let known = FailureCode::ALL.iter().copied().find(|known| known.as_str() == text);
        let unknown = "there is no such error code; docs/errors.md lists them";
        known.ok_or_else(|| problem(unknown.to_owned()))
    };
    text.map(find).transpose()
}

#[OpenApi(prefix_path = "/api/v1")]
impl DeadLetters {
    /// List dead letters
    ///
    /// Jobs of every tenant that failed after their last attempt, newest first, each with its
    /// attempts.
    #[oai(path = "/admin/dead-letters", method = "get", operation_id = "listDeadLetters")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter")]
    async fn list(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        #[oai(name = "tenant")] of: Query<Option<String>>,
        #[oai(name = "code")] error: Query<Option<String>>,
        limit: Query<Option<u32>>,
        cursor: Query<Option<String>>,
        min_position: Query<Option<String>>,
    ) -> Result<Reply<200, DeadLetterPage>> {
        let principal = auth.require(Scope::Admin)?;
        gateway.audit.note(AuditRecord::about(request, principal, "admin.read_dead_letters"));
        let limit = page::limit(limit.0, "dead letters")?;
        let after = cursor.0.as_deref().map(|cursor| {
            let bad = "take the cursor from `next_cursor` of the same list";
            cursor.parse::<JobId>().map_err(|_| Problem::parameter("cursor", bad))
        });
        let filter = job_detail::DeadLetterFilter {
            tenant: tenant(of.0.as_deref(), |detail| Problem::parameter("tenant", detail))?,
            code: code(error.0.as_deref(), |detail| Problem::parameter("code", detail))?,
            ids: None,
            after: after.transpose()?,
        };
        gateway.reads.catch_up_all::<JobDetail>(min_position.0.as_deref()).await?;
        let more = limit.saturating_add(1);
        let rows = job_detail::dead_letters(&gateway.database, &filter, more).await;
        let mut rows: Vec<JobView> = rows.map_err(Problem::from)?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = rows.last().filter(|_| has_more).map(|job| job.summary.id.to_string());
        let link = next_cursor.as_ref().map(|cursor| page::next(request.original_uri(), cursor));
        let data = rows
            .iter()
            .map(|job| DeadLetter { tenant: job.summary.tenant.to_string(), job: show(job, None) });
        let data = data.collect();
        Ok(Reply::new(DeadLetterPage { data, next_cursor, has_more }).next(link))
    }

    /// Retry dead letters
    ///
    /// The ones that are named, or up to 1000 that failed with one error code.
    #[oai(path = "/admin/dead-letters/redrive", method = "post", operation_id = "redrive")]
    async fn redrive(
        &self,
        request: &Request,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        body: StrictJson<RedriveBody>,
    ) -> Result<Reply<202, Redriven>> {
        let principal = auth.require(Scope::Admin)?;
        let RedriveBody { jobs, code: error, tenant: of } = body.value;
        let ids = jobs.map(|jobs| {
            let ids = jobs.iter().enumerate().map(|(n, id)| {
                let bad = |_| invalid(&format!("#/jobs/{n}"), "an id like job_…");
                id.parse::<JobId>().map_err(bad)
            });
            ids.collect::<Result<Vec<JobId>, Problem>>()
        });
        let filter = job_detail::DeadLetterFilter {
            tenant: tenant(of.as_deref(), |detail| {
                Problem::field(Kind::Invalid, "#/tenant", detail)
            })?,
            code: code(error.as_deref(), |detail| invalid("#/code", detail))?,
            ids: ids.transpose()?,
            after: None,
        };
        let max_ids = usize::try_from(MAX_REDRIVEN).unwrap_or(usize::MAX);
        if filter.ids.as_ref().is_some_and(|ids| ids.len() > max_ids) {
            return Err(invalid("#/jobs", format!("at most {MAX_REDRIVEN} jobs at once")).into());
        }
        if filter.ids.is_none() && filter.code.is_none() {
            return Err(invalid("#/jobs", "give either `jobs` or an error `code`").into());
        }
        gateway.reads.catch_up_all::<JobDetail>(None).await?;
        let rows = job_detail::dead_letters(&gateway.database, &filter, MAX_REDRIVEN).await;
        let rows = rows.map_err(Problem::from)?;
        let chosen = rows.into_iter().map(|job| (job.summary.id, job.summary.tenant));
        let chosen: Vec<(JobId, Tenant)> = chosen.collect();
        let caller: Caller = caller(principal, request);
        let (gateway, caller) = (&**gateway, &caller);
        let retries = chosen.iter().map(|(id, tenant)| {
            async move {
                gateway.must_be_open(tenant).ok()?;
                // It stays a dead letter if the account's queue is full, another job has reserved its
                // output, or another request has retried it.
                let retried = retry(gateway, tenant, caller, *id, None).await.ok()?;
                Some((id.to_string(), retried.position))
            }
            .boxed()
        });
        let retried: Vec<_> = join_in_chunks(retries).await.into_iter().flatten().collect();
        let newest = retried.iter().map(|(_, position)| *position).max();
        let reply = Reply::new(Redriven { jobs: retried.into_iter().map(|(id, _)| id).collect() });
        Ok(match newest {
            Some(newest) => reply.position(newest),
            None => reply,
        })
    }
}
