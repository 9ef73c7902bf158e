use std::{collections::HashMap, time::Instant};

use ffapi_domain::{JobId, Tenant, Timestamp};
use ffapi_nats::{LiveMessage, PubSub, subject};
use ffapi_projections::delivery_queue;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::Sender;
use crate::clock;

/// Progress values that trigger a webhook, in percent.
const MILESTONES: [u8; 3] = [25, 50, 75];
/// Attempts whose last milestone is cached; for others the database rejects duplicates.
const MAX_CACHED: usize = 10_000;

impl Sender {
    /// Enqueues a delivery when a worker's published progress reaches a quarter, a half and three
    /// quarters of an attempt.
    pub(super) async fn watch_progress(&self, pubsub: &PubSub, stop: &CancellationToken) {
        let mut reached: HashMap<(JobId, u64), (u8, Instant)> = HashMap::new();
        while !stop.is_cancelled() {
            let Ok(mut messages) = pubsub.subscribe(subject::ALL_PROGRESS).await else {
                tokio::time::sleep(super::POLL_INTERVAL).await;
                continue;
            };
            while let Some(message) = messages.next().await {
                let Some((tenant, job, data)) = parse(&message) else { continue };
                let attempt = data.get("attempt").and_then(Value::as_u64).unwrap_or(0);
                let percent = data.get("progress").and_then(Value::as_f64).unwrap_or(0.0);
                let passed = MILESTONES.into_iter().rev().find(|at| percent >= f64::from(*at));
                let Some(milestone) = passed else { continue };
                if reached.get(&(job, attempt)).is_some_and(|(at, _)| *at >= milestone) {
                    continue;
                }
                if reached.len() >= MAX_CACHED {
                    let recent = std::time::Duration::from_mins(10);
                    reached.retain(|_, (_, at)| at.elapsed() < recent);
                }
                let (tenant, data) = (&tenant, &data);
                // If this fails, the worker's next progress message triggers it again.
                let now = clock::now();
                if self.enqueue_milestone(tenant, job, attempt, milestone, data, now).await {
                    reached.insert((job, attempt), (milestone, Instant::now()));
                }
            }
        }
    }

    /// Enqueues the delivery of a milestone; false if the database failed.
    async fn enqueue_milestone(
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
        let written =
            delivery_queue::enqueue_progress(&self.database, tenant, job, &id, &body, at).await;
        written.map_err(|error| tracing::warn!(%error, "cannot enqueue a progress webhook")).is_ok()
    }
}

fn parse(message: &LiveMessage) -> Option<(Tenant, JobId, Value)> {
    let mut parts = message.subject.split('.').skip(1);
    let (tenant, job) = (parts.next()?, parts.nth(1)?);
    let mut event: Value = serde_json::from_slice(&message.payload).ok()?;
    Some((tenant.parse().ok()?, job.parse().ok()?, event.get_mut("data")?.take()))
}
