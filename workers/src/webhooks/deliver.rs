use std::time::{Duration, Instant};

use ffapi_commands::Caller;
use ffapi_domain::{
    Timestamp,
    webhook::{DisabledBy, Webhook, WebhookCommand},
};
use ffapi_nats::{
    failpoint,
    trace::{self, TraceContext},
};
use ffapi_projections::{
    ProjectionError,
    delivery_queue::{self, Due, Endpoint, Outcome},
};
use ffapi_storage::{EgressError, Message};
use tracing::{Span, error_span, field::Empty};
use url::Url;
use uuid::Uuid;

use super::{ENDPOINT_LEASE, Sender, signature::signatures};
use crate::{
    clock,
    metrics::{self, webhooks::AttemptOutcome},
};

/// The result of one delivery attempt, as it affects the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DeliveryResult {
    /// A 2xx response.
    Delivered,
    /// No response, or any other status.
    Failed {
        /// The response's `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// A 410 response: the endpoint is gone.
    Gone,
}

/// Consecutive failures after which an endpoint is paused.
const PAUSE_AFTER_FAILURES: u32 = 5;
/// How long one endpoint is drained before others get its slot.
const MAX_DRAIN_TIME: Duration = Duration::from_secs(10);
/// Lower limit of an accepted `Retry-After`.
const MIN_RETRY_AFTER: Duration = Duration::from_secs(1);
/// Upper limit of an accepted `Retry-After`.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(24);
/// Longest pause after consecutive failures.
const MAX_PAUSE: Duration = Duration::from_mins(5);

/// The endpoint's host; empty for all endpoints whose URL cannot be parsed.
fn host(endpoint: &Endpoint) -> String {
    let url = endpoint.view.url.as_ref().and_then(|url| Url::parse(url).ok());
    url.and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default()
}

/// One attempt of a delivery. It follows from the event, which waited in the database.
fn delivery_span(endpoint: &Endpoint, due: &Due, number: u32) -> Span {
    error_span!(
        parent: None,
        "delivery",
        otel.name = "deliver webhook",
        otel.kind = "consumer",
        webhook = %endpoint.view.id,
        event = due.id,
        attempt = number,
        trace_id = Empty,
    )
}

/// How long an endpoint is paused after this many consecutive failures.
fn pause(failures: u32) -> Duration {
    let Some(excess) = failures.checked_sub(PAUSE_AFTER_FAILURES) else { return Duration::ZERO };
    Duration::from_secs(1 << excess.min(9)).min(MAX_PAUSE)
}

impl Sender {
    /// Sends everything that is due at an endpoint, then releases its lease.
    pub(super) async fn drain(&self, mut endpoint: Endpoint) {
        let outcome = self.drain_due(&mut endpoint).await;
        let retry_after = outcome.unwrap_or_else(|error| {
            tracing::warn!(%error, webhook = %endpoint.view.id, "deliveries wait for the database");
            Duration::ZERO
        });
        let open_until = clock::now().plus(pause(endpoint.failures).max(retry_after));
        if let Err(error) = delivery_queue::release(&self.database, &endpoint, open_until).await {
            tracing::debug!(%error, "cannot release an endpoint; its lease will expire");
        }
    }

    /// Sends deliveries until none is due or the endpoint has to wait; returns how long it has to.
    async fn drain_due(&self, endpoint: &mut Endpoint) -> Result<Duration, ProjectionError> {
        let start = Instant::now();
        loop {
            // Others get a turn; the remaining deliveries are claimed again soon.
            if start.elapsed() >= MAX_DRAIN_TIME {
                return Ok(Duration::ZERO);
            }
            // A failing endpoint is sent one request at a time.
            let max = if endpoint.failures > 0 { 1 } else { endpoint.view.concurrency.max(1) };
            let wanted = usize::try_from(max).unwrap_or(usize::MAX);
            let (host, tenant) = (host(endpoint), endpoint.view.tenant.as_str());
            let mut permit = match self.hosts.admit(&host, tenant, wanted, Instant::now()) {
                Ok(permit) => permit,
                // Its deliveries wait in the database, in order, and occupy no slot.
                Err(wait) => return Ok(wait),
            };
            let max = u32::try_from(permit.granted).unwrap_or(max);
            let due = delivery_queue::due(&self.database, endpoint, clock::now(), max).await?;
            permit.shrink_to(due.len());
            if due.is_empty() {
                return Ok(Duration::ZERO);
            }
            let attempts = due.iter().map(|due| self.try_one(endpoint, due));
            let results = futures::future::join_all(attempts).await;
            drop(permit);
            failpoint::hit("webhooks.before_record");
            let outcomes = results.iter().map(|(outcome, _)| outcome.clone());
            let outcomes: Vec<Outcome> = outcomes.collect();
            let until = clock::now().plus(ENDPOINT_LEASE);
            delivery_queue::record(&self.database, endpoint, &outcomes, until).await?;
            failpoint::hit("webhooks.after_record");
            for (outcome, result) in &results {
                if *result == DeliveryResult::Delivered {
                    endpoint.failures = 0;
                    endpoint.failing_since = None;
                } else {
                    endpoint.failures = endpoint.failures.saturating_add(1);
                    endpoint.failing_since = endpoint.failing_since.or(Some(outcome.at));
                }
            }
            if let Some(by) = self.reason_to_disable(endpoint, &results) {
                self.disable(endpoint, by).await;
                return Ok(Duration::ZERO);
            }
            let retry_after = results.iter().filter_map(|(_, result)| match result {
                DeliveryResult::Failed { retry_after } => *retry_after,
                DeliveryResult::Delivered | DeliveryResult::Gone => None,
            });
            if let Some(retry_after) = retry_after.max() {
                return Ok(retry_after);
            }
            if endpoint.failures >= PAUSE_AFTER_FAILURES {
                return Ok(Duration::ZERO);
            }
        }
    }

    /// Why the endpoint must be disabled, if it must.
    fn reason_to_disable(
        &self,
        endpoint: &Endpoint,
        results: &[(Outcome, DeliveryResult)],
    ) -> Option<DisabledBy> {
        if results.iter().any(|(_, result)| *result == DeliveryResult::Gone) {
            return Some(DisabledBy::Gone);
        }
        let failing = endpoint.failing_since.map(|since| clock::now().since(since));
        (failing? >= self.config.disable_after).then_some(DisabledBy::Failing)
    }

    async fn disable(&self, endpoint: &Endpoint, by: DisabledBy) {
        // A job's or batch's own endpoint is not an aggregate: its deliveries fail by the schedule.
        if endpoint.view.secret == 0 {
            return;
        }
        let (tenant, id) = (endpoint.view.tenant.as_str(), endpoint.view.id.to_string());
        let caller = Caller::process("webhooks");
        let command = WebhookCommand::Disable { by };
        let outcome = self.commands.handle::<Webhook>(tenant, &id, &caller, command).await;
        tracing::info!(webhook = id, ?by, ?outcome, "webhook endpoint disabled");
        if outcome.is_ok() {
            metrics::webhooks::disabled(by);
        }
    }

    /// Makes one delivery attempt.
    async fn try_one(&self, endpoint: &Endpoint, due: &Due) -> (Outcome, DeliveryResult) {
        let (at, start) = (clock::now(), Instant::now());
        let number = due.attempts.saturating_add(1);
        let cause = due.traceparent.as_deref().and_then(TraceContext::parse);
        let span = delivery_span(endpoint, due, number);
        trace::link(&span, cause);
        let answer = trace::within(span.clone(), cause, self.send(endpoint, due, at)).await;
        let latency = start.elapsed();
        let (status, body, error, retry_after) = match answer {
            Ok(answer) => {
                let retry_after = answer.retry_after.map(|wait| wait.min(MAX_RETRY_AFTER));
                (Some(answer.status), Some(answer.body), None, retry_after)
            }
            Err(error) => (None, None, Some(error), None),
        };
        span.in_scope(|| {
            metrics::webhooks::attempted(AttemptOutcome::of(status), latency);
            tracing::debug!(?status, "webhook attempted");
        });
        let result = match status {
            Some(200..=299) => DeliveryResult::Delivered,
            Some(410) => DeliveryResult::Gone,
            _ => DeliveryResult::Failed { retry_after },
        };
        let delivered = result == DeliveryResult::Delivered;
        let next_at = if delivered { None } else { self.next_try(number, retry_after) };
        let id = due.id.clone();
        let outcome = Outcome { id, number, at, latency, status, error, body, delivered, next_at };
        (outcome, result)
    }

    /// When the attempt after attempt `number` is due; none after the last one. The receiver's
    /// `Retry-After` counts instead of the schedule, be it sooner or later.
    fn next_try(&self, number: u32, retry_after: Option<Duration>) -> Option<Timestamp> {
        let nth = usize::try_from(number.saturating_sub(1)).unwrap_or(usize::MAX);
        let scheduled = *self.config.schedule.get(nth)?;
        let wait = retry_after.map_or(scheduled, |wait| wait.max(MIN_RETRY_AFTER));
        // Jitter of up to a tenth.
        let jitter = u32::try_from(Uuid::now_v7().as_u128() & 0xff).unwrap_or(0);
        let wait = wait.saturating_add(wait.saturating_mul(jitter) / 2_560);
        Some(clock::now().plus(wait))
    }

    async fn send(
        &self,
        endpoint: &Endpoint,
        due: &Due,
        at: Timestamp,
    ) -> Result<ffapi_storage::Answer, String> {
        let url = endpoint.view.url.as_ref().and_then(|url| Url::parse(url).ok());
        let url = url.ok_or("the endpoint's URL was erased")?;
        let secrets = self.secrets(endpoint, at).await?;
        let timestamp = at.as_millis() / 1_000;
        let mut headers = vec![
            ("content-type", "application/json".to_owned()),
            ("webhook-id", due.id.clone()),
            ("webhook-timestamp", timestamp.to_string()),
            ("webhook-signature", signatures(&secrets, &due.id, timestamp, &due.body)),
        ];
        headers.extend(trace::current().map(|context| ("traceparent", context.to_string())));
        let timeout = self.config.timeout;
        let message = Message { headers, body: due.body.clone(), timeout };
        failpoint::hit("webhooks.before_send");
        let answer = self.egress.post(&url, message).await;
        failpoint::hit("webhooks.after_send");
        answer.map_err(|error: EgressError| error.to_string())
    }

    /// The secrets to sign with: the newest one, and the previous one while it is still valid.
    async fn secrets(&self, endpoint: &Endpoint, at: Timestamp) -> Result<Vec<Vec<u8>>, String> {
        let view = &endpoint.view;
        let mut names = Vec::new();
        if view.secret == 0 {
            names.push(format!("hooks.{}", view.tenant));
        } else {
            names.push(format!("hook.{}.{}", view.id, view.secret));
            if view.old_until.is_some_and(|until| at < until) && view.secret > 1 {
                names.push(format!("hook.{}.{}", view.id, view.secret.saturating_sub(1)));
            }
        }
        let mut secrets = Vec::with_capacity(names.len());
        for name in names {
            secrets.push(self.secret(endpoint, name).await?);
        }
        Ok(secrets)
    }

    async fn secret(&self, endpoint: &Endpoint, name: String) -> Result<Vec<u8>, String> {
        let cache_key = (endpoint.view.id, name);
        if let Some(secret) = self.secrets.lock().await.get(&cache_key) {
            return Ok(secret.clone());
        }
        let (_, name) = &cache_key;
        // The lock is not held while the vault answers, so that cached secrets stay available.
        let stored = self.vault.read(name).await.map_err(|error| error.to_string())?;
        let secret = stored.ok_or("the endpoint's secret is not in the vault")?;
        self.secrets.lock().await.put(cache_key, secret.clone());
        Ok(secret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_start_after_five_failures_and_double_up_to_a_limit() {
        assert_eq!(pause(PAUSE_AFTER_FAILURES - 1), Duration::ZERO);
        assert_eq!(pause(PAUSE_AFTER_FAILURES), Duration::from_secs(1));
        assert_eq!(pause(PAUSE_AFTER_FAILURES + 3), Duration::from_secs(8));
        assert_eq!(pause(1_000), MAX_PAUSE);
    }
}
