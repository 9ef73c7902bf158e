use std::{error::Error, sync::Arc};

use ffapi_commands::HandleError;
use ffapi_domain::{LeaseId, Tenant};

use crate::{
    clock,
    problem::Problem,
    queue_slots::Slots,
    rate_limits::{RateLimiter, Spend},
    state::Gateway,
};

/// Jobs that are to be submitted or retried together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    jobs: u32,
    /// Those that are not counted as a request of their own.
    batch_jobs: u32,
    spec_bytes: usize,
}

/// Jobs of batches that an account may submit or retry per hour, for each of its hourly requests:
/// every job stays in the log, whatever its outcome.
const BATCH_JOBS_PER_REQUEST: u64 = 10;
/// Kibibytes of specs that an account may submit per hour, for each of its hourly requests.
const KIBIBYTES_PER_REQUEST: u64 = 16;

impl Load {
    /// A job whose spec has this size in bytes.
    pub(crate) const fn job(spec_bytes: usize) -> Self {
        Self { jobs: 1, batch_jobs: 0, spec_bytes }
    }

    /// A batch of jobs whose specs have this size in bytes together.
    pub(crate) const fn batch(jobs: u32, spec_bytes: usize) -> Self {
        Self { jobs, batch_jobs: jobs, spec_bytes }
    }

    /// The retry of one job.
    pub(crate) const fn retry() -> Self {
        Self { jobs: 1, batch_jobs: 0, spec_bytes: 0 }
    }

    /// The retry of jobs of a batch.
    pub(crate) const fn batch_retry(jobs: u32) -> Self {
        Self { jobs, batch_jobs: jobs, spec_bytes: 0 }
    }

    /// What it counts as, with hourly limits that follow from that of the account's requests.
    fn spends(self, requests_per_hour: u64) -> impl Iterator<Item = Spend<'static>> {
        let limit = move |per_request: u64| requests_per_hour.saturating_mul(per_request);
        let kibibytes = u64::try_from(self.spec_bytes.div_ceil(1_024)).unwrap_or(u64::MAX);
        [
            Spend {
                bucket: "batch-jobs",
                count: self.batch_jobs.into(),
                limit: limit(BATCH_JOBS_PER_REQUEST),
            },
            Spend {
                bucket: "spec-kibibytes",
                count: kibibytes,
                limit: limit(KIBIBYTES_PER_REQUEST),
            },
        ]
        .into_iter()
        .filter(|spend| spend.count > 0)
    }
}

/// Queue slots and counted units for some jobs. What is not spent is given back on drop.
#[derive(Debug)]
pub(crate) struct Admission {
    /// None for no jobs.
    slots: Option<Slots>,
    counted: Counted,
}

impl Admission {
    /// # Errors
    /// When the account's queue is full, an hourly limit is reached, or the log is unavailable.
    pub(crate) async fn of(
        gateway: &Gateway,
        tenant: &Tenant,
        load: Load,
    ) -> Result<Self, Problem> {
        let slots = match load.jobs {
            0 => None,
            jobs => Some(gateway.queue_slots.take(tenant, jobs).await?),
        };
        let limiter = Arc::clone(&gateway.rate_limiter);
        let mut counted = Counted { limiter, tenant: tenant.clone(), spent: Vec::new() };
        let requests = gateway.credentials.limits(tenant).requests_per_hour;
        for spend in load.spends(requests) {
            counted.add(spend).await?;
        }
        Ok(Self { slots, counted })
    }

    /// The lease of the slots, to be named by the jobs that spend them.
    pub(crate) fn lease(&self) -> Option<LeaseId> {
        self.slots.as_ref().map(Slots::lease)
    }

    /// Executes the command that spends what was admitted. One that is rejected spends nothing; after
    /// any other error the log may still hold it.
    pub(crate) async fn spend<T, R: Error>(
        mut self,
        command: impl Future<Output = Result<T, HandleError<R>>>,
    ) -> Result<T, HandleError<R>> {
        // Before the command is sent: the request may be cancelled while it waits for the log, and what
        // may be spent must not be used again.
        let slots = self.slots.as_mut().map_or(0, Slots::spend_all);
        let counted = std::mem::take(&mut self.counted.spent);
        let outcome = command.await;
        if let Err(HandleError::Rejected(_) | HandleError::VersionMismatch(_)) = outcome {
            if let Some(taken) = &mut self.slots {
                taken.refund(slots);
            }
            self.counted.spent = counted;
        }
        outcome
    }
}

/// Units that were counted against hourly limits.
#[derive(Debug)]
struct Counted {
    limiter: Arc<RateLimiter>,
    tenant: Tenant,
    /// What is given back on drop, by bucket.
    spent: Vec<(&'static str, u64)>,
}

impl Counted {
    async fn add(&mut self, spend: Spend<'static>) -> Result<(), Problem> {
        let status = self.limiter.spend_many(&self.tenant, spend, clock::now()).await?;
        if !status.allowed {
            return Err(status.problem());
        }
        self.spent.push((spend.bucket, spend.count));
        Ok(())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let spent = std::mem::take(&mut self.spent);
        if spent.is_empty() {
            return;
        }
        let (limiter, tenant) = (Arc::clone(&self.limiter), self.tenant.clone());
        tokio::spawn(async move {
            for (bucket, count) in spent {
                limiter.refund(&tenant, bucket, count, clock::now()).await;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_counts_against_limits_that_follow_from_the_accounts_requests() {
        let spends = |load: Load| -> Vec<_> {
            load.spends(100).map(|spend| (spend.bucket, spend.count, spend.limit)).collect()
        };
        assert_eq!(spends(Load::retry()), []);
        assert_eq!(spends(Load::job(1)), [("spec-kibibytes", 1, 1_600)]);
        let batch = [("batch-jobs", 3, 1_000), ("spec-kibibytes", 2, 1_600)];
        assert_eq!(spends(Load::batch(3, 1_025)), batch);
        assert_eq!(spends(Load::batch_retry(3)), [("batch-jobs", 3, 1_000)]);
    }
}
