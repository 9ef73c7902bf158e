use ffapi_domain::{job::JobStatus, preset::PresetSelector};
use ffapi_projections::{JobList, job_list, job_list::Filter};
use poem::Request;
use poem_openapi::Object;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::apply;
use crate::{
    auth::Principal,
    batches::{BatchOptions, BatchShown, DEFAULT_PARALLEL, Specs, replay, submit},
    body::StrictJson,
    idempotency::Key,
    jobs::rerun::rerun_spec,
    problem::{Kind, Problem},
    reply::Reply,
    state::Gateway,
    tenant_slots,
};

/// Options of a rerun.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "PresetRerun")]
pub(crate) struct RerunBody {
    /// The version to use; the newest if absent.
    version: Option<u32>,
    /// True for the shared preset of this name, if the account has one of its own as well.
    global: Option<bool>,
    /// Maximum number of its jobs that run at once, 1 to 20; 5 if absent.
    max_parallel: Option<u32>,
}

/// Maximum number of jobs of one batch.
const MAX_JOBS: u32 = 1_000;

pub(super) async fn rerun(
    gateway: &Gateway,
    request: &Request,
    principal: &Principal,
    name: &str,
    used: u32,
    body: StrictJson<RerunBody>,
    key: Option<String>,
) -> Result<Reply<201, BatchShown>, Problem> {
    let StrictJson { value: body, fingerprint, .. } = body;
    let key = Key::of("/presets/rerun", key, format!("{name}@{used} {fingerprint}"))?;
    if let Some(response) = replay(gateway, principal, key.as_ref()).await? {
        return Ok(response);
    }
    let tenant = &principal.tenant;
    if body.max_parallel.is_some_and(|parallel| !(1..=20).contains(&parallel)) {
        let detail = "1 to 20 jobs of a batch run at once";
        return Err(Problem::field(Kind::Invalid, "#/max_parallel", detail));
    }
    let global = body.global.unwrap_or_default();
    let pinned = async |version, global| {
        let wanted = PresetSelector { name: name.to_owned(), version, global };
        let found = apply::find(gateway, tenant, &wanted).await?;
        found.map(|found| found.pinned).ok_or_else(|| Problem::not_found("preset"))
    };
    let used = pinned(Some(used), global).await?;
    let pinned = pinned(body.version, used.global).await?;
    let filter = Filter {
        statuses: vec![JobStatus::Completed],
        preset: Some(used.clone().into()),
        oldest_first: true,
        ..Filter::default()
    };
    gateway.reads.catch_up::<JobList>(tenant, None).await?;
    let _slot = tenant_slots::of_list(tenant).await?;
    let jobs = job_list::page(&gateway.database, tenant, &filter, MAX_JOBS).await?;
    if jobs.is_empty() {
        let detail = format!("no completed job used {used}");
        return Err(Problem::new(Kind::Conflict, detail));
    }
    let mut specs = Specs::default();
    for (n, job) in jobs.iter().enumerate() {
        // The new version supplies the fields that the old one did; the output is replaced.
        let mut overrides: Map<String, Value> = Map::new();
        overrides.insert("preset".to_owned(), pinned.to_string().into());
        if job.output.is_some() {
            overrides.insert("overwrite".to_owned(), "replace".into());
        }
        let part = format!("/jobs/{n}");
        let spec = rerun_spec(gateway, tenant, job.id, overrides).await;
        let spec = spec.map_err(|problem| problem.within(&part))?;
        specs.add(part, spec)?;
    }
    let name = format!("{used} again with {pinned}");
    let max_parallel = body.max_parallel.unwrap_or(DEFAULT_PARALLEL);
    let options = BatchOptions { name: Some(name), max_parallel, callback: None, key };
    submit(gateway, request, principal, specs, options).await
}
