//! The queue resource: waiting jobs, their positions, and why they wait.

use std::{sync::Arc, time::Duration};

use ffapi_domain::{
    JobId, Tenant,
    dispatch::{QUEUE_POSITIONS, QUEUE_TOTALS, QueuePosition, QueuePositionsRequest, QueueTotals},
    job::Priority,
    key::Scope,
};
use ffapi_projections::{Queue, queue};
use poem::{Result, web::Data};
use poem_openapi::{Object, OpenApi, param::Query};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    auth::Auth,
    problem::{Kind, Problem},
    reply::Reply,
    state::Gateway,
    tenant_slots,
};

pub(crate) struct QueueApi;

/// The queued and running jobs of an account.
#[derive(Debug, Object)]
#[oai(rename = "Queue", skip_serializing_if_is_none)]
pub(crate) struct QueueShown {
    queued: ByPriority,
    processing: u64,
    oldest_queued_at: Option<String>,
    /// The waiting jobs, the next one first.
    waiting: Vec<WaitingShown>,
}

/// Number of waiting jobs by priority.
#[derive(Debug, Object)]
struct ByPriority {
    high: u64,
    normal: u64,
    low: u64,
}

/// A waiting job.
#[derive(Debug, Object)]
#[oai(rename = "Waiting", skip_serializing_if_is_none)]
pub(crate) struct WaitingShown {
    job_id: String,
    /// Position among the account's waiting jobs, from 1; absent while it may not start yet.
    place: Option<usize>,
    /// `scheduled`, `backoff`, `waiting_for`, `no_worker`, `account_cap`, `key_cap`, `batch_cap`,
    /// `priority` or `busy`
    reason: String,
    /// The reason as text.
    why: String,
}

/// Timeout of the conductor's answer.
const CONDUCTOR_TIMEOUT: Duration = Duration::from_secs(3);
const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 1_000;

#[OpenApi(prefix_path = "/api/v1")]
impl QueueApi {
    /// Show the queue
    ///
    /// Each waiting job with its position among the account's own, and why it waits.
    #[oai(path = "/queue", method = "get", operation_id = "getQueue")]
    async fn queue(
        &self,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
        limit: Query<Option<u32>>,
        min_position: Query<Option<String>>,
    ) -> Result<Reply<200, QueueShown>> {
        let principal = auth.require(Scope::JobsRead)?;
        let limit = limit.0.unwrap_or(DEFAULT_LIMIT);
        if limit > MAX_LIMIT {
            let detail = "at most 1000 waiting jobs are listed";
            return Err(Problem::parameter("limit", detail).into());
        }
        let min_position = min_position.0.as_deref();
        gateway.reads.catch_up::<Queue>(&principal.tenant, min_position).await?;
        let _slot = tenant_slots::of_list(&principal.tenant).await?;
        let depth = queue::depth(&gateway.database, &principal.tenant).await;
        let depth = depth.map_err(Problem::from)?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let waiting = positions(&gateway, &principal.tenant, None, limit).await?;
        let count = |priority| depth.queued.get(&priority).copied().unwrap_or(0);
        Ok(Reply::new(QueueShown {
            queued: ByPriority {
                high: count(Priority::High),
                normal: count(Priority::Normal),
                low: count(Priority::Low),
            },
            processing: depth.processing,
            oldest_queued_at: depth.oldest.map(|at| at.to_string()),
            waiting: waiting.iter().map(shown).collect(),
        }))
    }
}

/// The positions of a tenant's waiting jobs, as the conductor reports them.
pub(crate) async fn positions(
    gateway: &Gateway,
    tenant: &Tenant,
    job: Option<JobId>,
    limit: usize,
) -> Result<Vec<QueuePosition>, Problem> {
    let question = QueuePositionsRequest { tenant: tenant.clone(), job, limit };
    let question = serde_json::to_vec(&question)
        .map_err(|error| Problem::new(Kind::Internal, error.to_string()))?;
    ask_conductor(gateway, question).await
}

/// The numbers of waiting jobs of all tenants, as the conductor reports them.
pub(crate) async fn totals(gateway: &Gateway) -> Result<QueueTotals, Problem> {
    ask_conductor(gateway, QUEUE_TOTALS.to_vec()).await
}

async fn ask_conductor<T: DeserializeOwned>(
    gateway: &Gateway,
    question: Vec<u8>,
) -> Result<T, Problem> {
    let answer = gateway.pubsub.request_with(QUEUE_POSITIONS, question, CONDUCTOR_TIMEOUT).await;
    let answer = answer.and_then(|answer| serde_json::from_slice(&answer).ok());
    let no_answer = || Problem::new(Kind::Unavailable, "no conductor answered within 3 s");
    answer.ok_or_else(no_answer)
}

fn shown(place: &QueuePosition) -> WaitingShown {
    let reason = serde_json::to_value(place.why).unwrap_or_default();
    let reason = reason.get("reason").and_then(Value::as_str).unwrap_or_default();
    WaitingShown {
        job_id: place.job.to_string(),
        place: place.position,
        reason: reason.to_owned(),
        why: place.why.to_string(),
    }
}
