use std::{collections::HashMap, time::Instant};

use ffapi_domain::{JobId, Tenant, Timestamp};
use ffapi_nats::{LiveMessage, PubSub};
use ffapi_projections::webhooks;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::Sender;
use crate::clock;

/// What is worth a webhook, in percent.
const MILESTONES: [u8; 3] = [25, 50, 75];
/// Jobs whose milestones are remembered; the rest are looked up by their rows.
const REMEMBERED: usize = 10_000;

impl Sender {
    /// Turns what workers tell into rows at a quarter, a half and three quarters of each attempt.
    pub(super) async fn watch_progress(&self, live: &PubSub, stop: &CancellationToken) {
        let mut reached: HashMap<(JobId, u64), (u8, Instant)> = HashMap::new();
        while !stop.is_cancelled() {
            let Ok(mut heard) = live.listen("live.*.job.*.progress").await else {
                tokio::time::sleep(super::ASK).await;
                continue;
            };
            while let Some(told) = heard.next().await {
                let Some((tenant, job, data)) = read(&told) else { continue };
                let attempt = data.get("attempt").and_then(Value::as_u64).unwrap_or(0);
                let percent = data.get("progress").and_then(Value::as_f64).unwrap_or(0.0);
                let passed = MILESTONES.into_iter().rev().find(|at| percent >= f64::from(*at));
                let Some(milestone) = passed else { continue };
                if reached.get(&(job, attempt)).is_some_and(|(at, _)| *at >= milestone) {
                    continue;
                }
                if reached.len() >= REMEMBERED {
                    let recent = std::time::Duration::from_mins(10);
                    reached.retain(|_, (_, at)| at.elapsed() < recent);
                }
                let (tenant, data) = (&tenant, &data);
                // One that is not written down is, with the next word of its worker.
                if self.remind(tenant, job, attempt, milestone, data, clock::now()).await {
                    reached.insert((job, attempt), (milestone, Instant::now()));
                }
            }
        }
    }

    async fn remind(
        &self,
        tenant: &Tenant,
        job: JobId,
        attempt: u64,
        milestone: u8,
        data: &Value,
        at: Timestamp,
    ) -> bool {
        let id = format!("evt_{}-{attempt}-{milestone}", job.uuid().simple());
        let body = json!({ "type": "job.progress", "timestamp": at, "data": data }).to_string();
        let written = webhooks::remind(&self.database, tenant, job, &id, &body, at).await;
        written.map_err(|error| tracing::warn!(%error, "a milestone is not written down")).is_ok()
    }
}

fn read(told: &LiveMessage) -> Option<(Tenant, JobId, Value)> {
    let mut parts = told.subject.split('.').skip(1);
    let (tenant, job) = (parts.next()?, parts.nth(1)?);
    let mut event: Value = serde_json::from_slice(&told.payload).ok()?;
    Some((tenant.parse().ok()?, job.parse().ok()?, event.get_mut("data")?.take()))
}
