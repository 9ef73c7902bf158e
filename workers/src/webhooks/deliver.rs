use std::time::{Duration, Instant};

use ffapi_commands::Caller;
use ffapi_domain::{
    Timestamp,
    webhook::{DisabledBy, Webhook, WebhookCommand},
};
use ffapi_nats::failpoint;
use ffapi_projections::{
    ProjectionError,
    webhooks::{self, Due, Endpoint, Outcome},
};
use ffapi_storage::{EgressError, Message};
use url::Url;
use uuid::Uuid;

use super::{LEASE, Sender, signature::signatures};
use crate::clock;

/// What one try came to, for the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Taken,
    Failed {
        /// It asks to be left alone for so long.
        retry_after: Option<Duration>,
    },
    /// It says that it is gone.
    Gone,
}

/// Failures in a row from which an endpoint is left alone for a while.
const PATIENT: u32 = 5;
/// How long one endpoint may have a place that others wait for.
const TURN: Duration = Duration::from_secs(10);
/// However long an endpoint asks to be left alone.
const A_DAY: Duration = Duration::from_hours(24);
/// The longest that it is left alone.
const LONGEST: Duration = Duration::from_mins(5);

/// Where an endpoint is; all whose address cannot be read are one.
fn host(endpoint: &Endpoint) -> String {
    let url = endpoint.view.url.as_ref().and_then(|url| Url::parse(url).ok());
    url.and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default()
}

/// How long an endpoint is left alone after so many failures in a row.
fn pause(failures: u32) -> Duration {
    let Some(more) = failures.checked_sub(PATIENT) else { return Duration::ZERO };
    Duration::from_secs(1 << more.min(9)).min(LONGEST)
}

impl Sender {
    /// Sends everything that is due at an endpoint, then gives it back.
    pub(super) async fn drain(&self, mut endpoint: Endpoint) {
        let outcome = self.drain_as_far_as_it_goes(&mut endpoint).await;
        let asked_for = outcome.unwrap_or_else(|error| {
            tracing::warn!(%error, webhook = %endpoint.view.id, "deliveries wait for the database");
            Duration::ZERO
        });
        let open_until = clock::now().plus(pause(endpoint.failures).max(asked_for));
        if let Err(error) = webhooks::release(&self.database, &endpoint, open_until).await {
            tracing::debug!(%error, "an endpoint's lease runs out by itself");
        }
    }

    /// Answers how long the endpoint asks to be left alone.
    async fn drain_as_far_as_it_goes(
        &self,
        endpoint: &mut Endpoint,
    ) -> Result<Duration, ProjectionError> {
        let start = Instant::now();
        loop {
            // Others have their turn; what is left is taken again at once.
            if start.elapsed() >= TURN {
                return Ok(Duration::ZERO);
            }
            // One that fails is tried with one at a time.
            let most = if endpoint.failures > 0 { 1 } else { endpoint.view.concurrency.max(1) };
            let wanted = usize::try_from(most).unwrap_or(usize::MAX);
            let (place, tenant) = (host(endpoint), endpoint.view.tenant.as_str());
            let mut turn = match self.hosts.admit(&place, tenant, wanted, Instant::now()) {
                Ok(turn) => turn,
                // It waits in its rows, in its order, and takes no place of others.
                Err(wait) => return Ok(wait),
            };
            let most = u32::try_from(turn.granted).unwrap_or(most);
            let due = webhooks::due(&self.database, endpoint, clock::now(), most).await?;
            turn.only(due.len());
            if due.is_empty() {
                return Ok(Duration::ZERO);
            }
            let tries = due.iter().map(|due| self.try_one(endpoint, due));
            let tried = futures::future::join_all(tries).await;
            drop(turn);
            failpoint::hit("webhooks.before_record");
            let outcomes: Vec<Outcome> = tried.iter().map(|(outcome, _)| outcome.clone()).collect();
            let until = clock::now().plus(LEASE);
            webhooks::record(&self.database, endpoint, &outcomes, until).await?;
            failpoint::hit("webhooks.after_record");
            for (outcome, verdict) in &tried {
                if *verdict == Verdict::Taken {
                    endpoint.failures = 0;
                    endpoint.failing_since = None;
                } else {
                    endpoint.failures = endpoint.failures.saturating_add(1);
                    endpoint.failing_since = endpoint.failing_since.or(Some(outcome.at));
                }
            }
            if let Some(by) = self.verdict(endpoint, &tried) {
                self.disable(endpoint, by).await;
                return Ok(Duration::ZERO);
            }
            let asked_for = tried.iter().filter_map(|(_, verdict)| match verdict {
                Verdict::Failed { retry_after } => *retry_after,
                Verdict::Taken | Verdict::Gone => None,
            });
            if let Some(asked_for) = asked_for.max() {
                return Ok(asked_for);
            }
            if endpoint.failures >= PATIENT {
                return Ok(Duration::ZERO);
            }
        }
    }

    /// Why nothing more is to be sent there, if so.
    fn verdict(&self, endpoint: &Endpoint, tried: &[(Outcome, Verdict)]) -> Option<DisabledBy> {
        if tried.iter().any(|(_, verdict)| *verdict == Verdict::Gone) {
            return Some(DisabledBy::Gone);
        }
        let failing = endpoint.failing_since.map(|since| clock::now().since(since));
        let most = Duration::from_secs(self.config.disable_after);
        (failing? >= most).then_some(DisabledBy::Failing)
    }

    async fn disable(&self, endpoint: &Endpoint, by: DisabledBy) {
        // A job's or batch's own endpoint is no aggregate: its rows fail by their schedule.
        if endpoint.view.secret == 0 {
            return;
        }
        let (tenant, id) = (endpoint.view.tenant.as_str(), endpoint.view.id.to_string());
        let caller = Caller::process("webhooks");
        let command = WebhookCommand::Disable { by };
        let outcome = self.commands.handle::<Webhook>(tenant, &id, &caller, command).await;
        tracing::info!(webhook = id, ?by, ?outcome, "a webhook is disabled");
    }

    async fn try_one(&self, endpoint: &Endpoint, due: &Due) -> (Outcome, Verdict) {
        let (at, start) = (clock::now(), Instant::now());
        let answer = self.send(endpoint, due, at).await;
        let latency = start.elapsed();
        let number = due.attempts.saturating_add(1);
        let (status, body, error, retry_after) = match answer {
            Ok(answer) => {
                let retry_after = answer.retry_after.map(|wait| wait.min(A_DAY));
                (Some(answer.status), Some(answer.body), None, retry_after)
            }
            Err(error) => (None, None, Some(error), None),
        };
        let verdict = match status {
            Some(200..=299) => Verdict::Taken,
            Some(410) => Verdict::Gone,
            _ => Verdict::Failed { retry_after },
        };
        let delivered = verdict == Verdict::Taken;
        let next_at = if delivered { None } else { self.next_try(number, retry_after) };
        let id = due.id.clone();
        let outcome = Outcome { id, number, at, latency, status, error, body, delivered, next_at };
        (outcome, verdict)
    }

    /// When the try after this one is due; none if there is none.
    fn next_try(&self, number: u32, retry_after: Option<Duration>) -> Option<Timestamp> {
        let nth = usize::try_from(number.saturating_sub(1)).unwrap_or(usize::MAX);
        let wait = Duration::from_secs(*self.config.schedule.get(nth)?);
        // Up to a tenth more by chance, and never sooner than was asked for.
        let chance = u32::try_from(Uuid::now_v7().as_u128() & 0xff).unwrap_or(0);
        let wait = wait.saturating_add(wait.saturating_mul(chance) / 2_560);
        Some(clock::now().plus(wait.max(retry_after.unwrap_or_default())))
    }

    async fn send(
        &self,
        endpoint: &Endpoint,
        due: &Due,
        at: Timestamp,
    ) -> Result<ffapi_storage::Answer, String> {
        let url = endpoint.view.url.as_ref().and_then(|url| Url::parse(url).ok());
        let url = url.ok_or("its address was erased")?;
        let secrets = self.secrets(endpoint, at).await?;
        let timestamp = at.as_millis() / 1_000;
        let headers = vec![
            ("content-type", "application/json".to_owned()),
            ("webhook-id", due.id.clone()),
            ("webhook-timestamp", timestamp.to_string()),
            ("webhook-signature", signatures(&secrets, &due.id, timestamp, &due.body)),
        ];
        let timeout = Duration::from_secs(self.config.timeout);
        let message = Message { headers, body: due.body.clone(), timeout };
        failpoint::hit("webhooks.before_send");
        let answer = self.egress.post(&url, message).await;
        failpoint::hit("webhooks.after_send");
        answer.map_err(|error: EgressError| error.to_string())
    }

    /// What signs: the newest secret, and the one before while it counts.
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
        let used = (endpoint.view.id, name);
        if let Some(secret) = self.secrets.lock().await.get(&used) {
            return Ok(secret.clone());
        }
        let (_, name) = &used;
        // Not held while the vault answers: others' secrets may be known.
        let found = self.vault.read(name).await.map_err(|error| error.to_string())?;
        let secret = found.ok_or("its secret is not in the vault")?;
        self.secrets.lock().await.put(used, secret.clone());
        Ok(secret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_five_failures_on_an_endpoint_is_left_alone_ever_longer_to_a_limit() {
        assert_eq!(pause(PATIENT - 1), Duration::ZERO);
        assert_eq!(pause(PATIENT), Duration::from_secs(1));
        assert_eq!(pause(PATIENT + 3), Duration::from_secs(8));
        assert_eq!(pause(1_000), LONGEST);
    }
}
