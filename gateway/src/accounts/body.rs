use ffapi_domain::{
    Network, Tenant,
    account::{AccountCommand, AccountStatus, Limits, LimitsPatch, Tier},
};
use poem_openapi::Object;
use serde::Deserialize;

use crate::{
    clock,
    keys::{minutes, networks},
    media::value,
    problem::{Kind, Problem},
    reply::Reply,
    state::Gateway,
};

/// A tenant's account: tier, limits and usage.
#[derive(Debug, Object)]
#[oai(rename = "Account")]
pub(crate) struct AccountShown {
    tenant: String,
    /// `free`, `basic`, `premium` or `enterprise`.
    tier: String,
    /// `open`, `closing` while it is being erased, or `erased`.
    status: String,
    limits: LimitsShown,
    allowed_ips: Vec<String>,
    /// Media minutes of this month, used and reserved.
    minutes_taken: f64,
    /// Bytes of `storage_bytes` that are stored, or held for uploads in progress; null if
    /// unavailable.
    storage_taken: Option<u64>,
}

/// The limits of an account.
#[derive(Debug, Object)]
#[oai(rename = "Limits")]
pub(crate) struct LimitsShown {
    requests_per_hour: u64,
    concurrent_jobs: u32,
    max_file_bytes: u64,
    monthly_minutes: u64,
    /// Maximum number of queued and running jobs; more are rejected.
    queue_places: u32,
    keys: u32,
    upload_bytes_per_second: u64,
    /// Maximum duration of one attempt at a job, in seconds.
    max_job_seconds: u64,
    /// Maximum CPU time of one attempt at a job, in seconds over all threads.
    max_job_cpu_seconds: u64,
    /// Its share of worker slots relative to other accounts.
    weight: u32,
    /// Maximum total bytes of stored uploads and outputs.
    storage_bytes: u64,
    /// Maximum number of webhook endpoints.
    webhooks: u32,
    webhook_replays_per_hour: u64,
}

/// Changes of an account.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccountPatch {
    /// `free`, `basic`, `premium` or `enterprise`.
    tier: Option<String>,
    /// Limits that differ from the tier's.
    limits: Option<LimitsBody>,
    /// The tenant's keys may only be used from these networks; from everywhere if empty.
    allowed_ips: Option<Vec<String>>,
}

/// Limits that differ from the tier's.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(rename = "LimitsPatch")]
pub(crate) struct LimitsBody {
    requests_per_hour: Option<u64>,
    concurrent_jobs: Option<u32>,
    max_file_bytes: Option<u64>,
    monthly_minutes: Option<u64>,
    queue_places: Option<u32>,
    keys: Option<u32>,
    upload_bytes_per_second: Option<u64>,
    max_job_seconds: Option<u64>,
    max_job_cpu_seconds: Option<u64>,
    /// Its share of worker slots relative to other accounts, 1 to 1000.
    weight: Option<u32>,
    /// Maximum total bytes of stored uploads and outputs.
    storage_bytes: Option<u64>,
    /// Maximum number of webhook endpoints.
    webhooks: Option<u32>,
    webhook_replays_per_hour: Option<u64>,
}

impl AccountPatch {
    pub(super) fn read(self) -> Result<AccountCommand, Problem> {
        let weight = self.limits.as_ref().and_then(|limits| limits.weight);
        if weight.is_some_and(|weight| !(1..=1_000).contains(&weight)) {
            return Err(Problem::field(Kind::Invalid, "#/limits/weight", "a weight is 1 to 1000"));
        }
        let limits = self.limits.map(|limits| LimitsPatch {
            requests_per_hour: limits.requests_per_hour,
            concurrent_jobs: limits.concurrent_jobs,
            max_file_bytes: limits.max_file_bytes,
            monthly_minutes: limits.monthly_minutes,
            queue_places: limits.queue_places,
            keys: limits.keys,
            upload_bytes_per_second: limits.upload_bytes_per_second,
            max_job_seconds: limits.max_job_seconds,
            max_job_cpu_seconds: limits.max_job_cpu_seconds,
            weight: limits.weight,
            storage_bytes: limits.storage_bytes,
            webhooks: limits.webhooks,
            webhook_replays_per_hour: limits.webhook_replays_per_hour,
        });
        Ok(AccountCommand::Change {
            tier: value::word::<Tier>(self.tier, "#/tier")?,
            limits: Box::new(limits.unwrap_or_default()),
            allowed_ips: self.allowed_ips.as_deref().map(networks).transpose()?,
        })
    }
}

pub(super) async fn response(
    gateway: &Gateway,
    tenant: &Tenant,
) -> Result<Reply<200, AccountShown>, Problem> {
    let version = gateway.credentials.account(tenant).version;
    Ok(Reply::new(shown(gateway, tenant).await?).version(version))
}

pub(super) async fn shown(gateway: &Gateway, tenant: &Tenant) -> Result<AccountShown, Problem> {
    let storage_taken = gateway.storage_holds.taken(tenant).await?;
    let account = gateway.credentials.account(tenant);
    let tiers = gateway.credentials.tiers();
    let Limits {
        requests_per_hour,
        concurrent_jobs,
        max_file_bytes,
        monthly_minutes,
        queue_places,
        keys,
        upload_bytes_per_second,
        max_job_seconds,
        max_job_cpu_seconds,
        weight,
        storage_bytes,
        webhooks,
        webhook_replays_per_hour,
    } = account.state.limits(tiers);
    let status = match account.state.standing {
        AccountStatus::Open => "open",
        AccountStatus::Closing => "closing",
        AccountStatus::Erased => "erased",
    };
    Ok(AccountShown {
        tenant: tenant.to_string(),
        tier: account.state.terms.tier.unwrap_or(tiers.usual).as_str().to_owned(),
        status: status.to_owned(),
        limits: LimitsShown {
            requests_per_hour,
            concurrent_jobs,
            max_file_bytes,
            monthly_minutes,
            queue_places,
            keys,
            upload_bytes_per_second,
            max_job_seconds,
            max_job_cpu_seconds,
            weight,
            storage_bytes,
            webhooks,
            webhook_replays_per_hour,
        },
        allowed_ips: account.state.terms.allowed_ips.iter().map(Network::to_string).collect(),
        storage_taken,
        minutes_taken: minutes(gateway.credentials.taken(tenant, clock::now())),
    })
}
