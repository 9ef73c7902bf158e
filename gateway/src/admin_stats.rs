//! What an operator sees of the whole service: jobs, the queue, workers and storage of all accounts.

use std::{collections::BTreeMap, sync::Arc};

use ffapi_domain::{
    Timestamp, dispatch::PoolTotals, key::Scope, live::WorkerHeartbeat, media::Pool, quota,
};
use ffapi_projections::{
    upload,
    usage::{self, UsageTotals},
};
use poem::{Result, web::Data};
use poem_openapi::{Object, OpenApi};

use crate::{auth::Auth, clock, problem::Problem, queue, reply::Reply, state::Gateway};

pub(crate) struct AdminStats;

/// The state of the whole service.
#[derive(Debug, Object)]
#[oai(rename = "ServiceStats")]
pub(crate) struct StatsBody {
    /// Jobs of all accounts by status.
    jobs: BTreeMap<String, u64>,
    /// Waiting jobs by pool: of every pool, also without workers and without jobs.
    queue: BTreeMap<String, QueuedStats>,
    /// The live workers.
    workers: WorkerStats,
    /// Since midnight (UTC).
    today: PeriodStats,
    /// Today and the six days before.
    last_7_days: PeriodStats,
    /// Today and the 29 days before.
    last_30_days: PeriodStats,
}

/// The jobs that wait for a pool.
#[derive(Debug, Default, Object)]
struct QueuedStats {
    waiting: u64,
    /// Seconds for which the job waits that has been eligible longest; 0 if none is.
    oldest_age_seconds: u64,
    /// By why they wait, as in `GET /queue`.
    reasons: BTreeMap<String, u64>,
    /// By priority.
    priorities: BTreeMap<String, u64>,
}

/// The live workers.
#[derive(Debug, Default, Object)]
struct WorkerStats {
    count: u64,
    /// Jobs that they can run at once.
    slots: u64,
    /// Jobs that they run now.
    running: u64,
}

/// What the jobs that ended in a period were charged and made.
#[derive(Debug, Default, Object)]
struct PeriodStats {
    completed: u64,
    failed: u64,
    cancelled: u64,
    /// Media minutes that were charged.
    media_minutes: f64,
    /// Seconds that media processes worked.
    work_seconds: f64,
    /// Bytes of outputs.
    output_bytes: u64,
}

/// Where objects are.
#[derive(Debug, Object)]
#[oai(rename = "StorageStats")]
pub(crate) struct StorageBody {
    stores: Vec<StoreStats>,
    uploads: UploadStats,
}

/// A store.
#[derive(Debug, Object)]
struct StoreStats {
    name: String,
    /// True for the store of uploads, and of outputs whose location names none.
    is_default: bool,
    /// `ok`, or `down` if it cannot be used.
    status: String,
}

/// The uploads of all accounts.
#[derive(Debug, Object)]
struct UploadStats {
    count: u64,
    bytes: u64,
}

#[OpenApi(prefix_path = "/api/v1")]
impl AdminStats {
    /// Show what the service does
    ///
    /// Jobs, the queue, workers and media time of all accounts. `queue.<pool>.waiting` is what a fleet of
    /// workers is scaled by.
    #[oai(path = "/admin/stats", method = "get", operation_id = "getStats")]
    async fn stats(
        &self,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
    ) -> Result<Reply<200, StatsBody>> {
        auth.require(Scope::Admin)?;
        let now = clock::now();
        let queue = queue::totals(&gateway).await?;
        let all = totals(&gateway, "").await?;
        let (today, week, month) = (day(now, 0), day(now, 6), day(now, 29));
        Ok(Reply::new(StatsBody {
            jobs: all.iter().map(|row| (row.status.clone(), count(row.jobs))).collect(),
            queue: Pool::ALL
                .iter()
                .map(|pool| (text(pool), queued(queue.get(pool), now)))
                .collect(),
            workers: workers(&gateway.workers.all()),
            today: period(&totals(&gateway, &today).await?),
            last_7_days: period(&totals(&gateway, &week).await?),
            last_30_days: period(&totals(&gateway, &month).await?),
        }))
    }

    /// Show where objects are
    ///
    /// The stores and whether each can be used, and the uploads of all accounts.
    #[oai(path = "/admin/storage", method = "get", operation_id = "getStorage")]
    async fn storage(
        &self,
        gateway: Data<&Arc<Gateway>>,
        auth: Auth,
    ) -> Result<Reply<200, StorageBody>> {
        auth.require(Scope::Admin)?;
        let own = gateway.storage.default_name();
        let stores = gateway.storage.check().await.into_iter().map(|(name, failure)| StoreStats {
            is_default: name == own,
            status: if failure.is_none() { "ok" } else { "down" }.to_owned(),
            name,
        });
        let (uploads, bytes) = upload::totals(&gateway.database).await.map_err(Problem::from)?;
        Ok(Reply::new(StorageBody {
            stores: stores.collect(),
            uploads: UploadStats { count: count(uploads), bytes: count(bytes) },
        }))
    }
}

async fn totals(gateway: &Gateway, from: &str) -> Result<Vec<UsageTotals>, Problem> {
    usage::totals(&gateway.database, from).await.map_err(Problem::from)
}

/// The day that began so many days before today, like `2026-11-29`.
fn day(now: Timestamp, days_before: u64) -> String {
    const DAY_MILLIS: u64 = 24 * 3_600 * 1_000;
    let millis = now.as_millis().saturating_sub(days_before.saturating_mul(DAY_MILLIS));
    Timestamp::from_millis(millis).to_string().chars().take("2026-11-29".len()).collect()
}

/// The name of an enum's case, as the API has it.
fn text(value: &impl serde::Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn queued(jobs: Option<&PoolTotals>, now: Timestamp) -> QueuedStats {
    let Some(jobs) = jobs else { return QueuedStats::default() };
    QueuedStats {
        waiting: jobs.waiting as u64,
        oldest_age_seconds: jobs.oldest.map_or(0, |since| now.since(since).as_secs()),
        reasons: jobs.reasons.iter().map(|(why, jobs)| (why.clone(), *jobs as u64)).collect(),
        priorities: jobs
            .priorities
            .iter()
            .map(|(level, jobs)| (text(level), *jobs as u64))
            .collect(),
    }
}

/// Sums over the heartbeats of workers.
fn workers(heartbeats: &[WorkerHeartbeat]) -> WorkerStats {
    let mut all = WorkerStats::default();
    for worker in heartbeats {
        let slots: usize = worker.pools.values().sum();
        all.count = all.count.saturating_add(1);
        all.slots = all.slots.saturating_add(slots as u64);
        all.running = all.running.saturating_add(worker.running.len() as u64);
    }
    all
}

fn period(rows: &[UsageTotals]) -> PeriodStats {
    let mut sums = PeriodStats::default();
    for row in rows {
        let jobs = match row.status.as_str() {
            "completed" => &mut sums.completed,
            "failed" => &mut sums.failed,
            "cancelled" => &mut sums.cancelled,
            _ => continue,
        };
        *jobs = count(row.jobs);
        sums.media_minutes += quota::minutes(count(row.micros));
        sums.work_seconds += row.seconds;
        sums.output_bytes = sums.output_bytes.saturating_add(count(row.bytes));
    }
    sums
}
