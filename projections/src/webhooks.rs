//! Webhook deliveries. One projector writes a row for each event and endpoint, senders process the
//! rows of each endpoint in order. So an outage of a receiver causes delay, but no loss.

mod body;
mod deliveries;
mod endpoints;
mod job_end;
mod prepared;
mod replay;
pub(crate) mod sealed;
mod signing_key;

use std::sync::Arc;

use ffapi_domain::{
    Decider, Tenant, Timestamp, WebhookId,
    webhook::{Webhook, WebhookEvent},
};
use ffapi_nats::{Codec, Decision, Log, Message, Position};
use sqlx::PgConnection;

pub use self::{
    deliveries::{AttemptRow, DeliveryRow, count_deliveries, delete_deliveries, deliveries},
    endpoints::{count, endpoint_exists, has_pending_replay, page},
    replay::Replays,
    signing_key::WebhookKeyPair,
};
use self::{
    endpoints::Endpoints,
    prepared::{PreparedMessages, Receivers},
    replay::ReplayRequest,
};
use crate::{
    Projection, ProjectionError,
    delivery_queue::{NewDelivery, enqueue},
    error::Flaw,
    public_message::PublicMessage,
};

/// Writes endpoints and due deliveries.
#[derive(Debug)]
pub struct Webhooks {
    log: Log,
}

impl Webhooks {
    /// Uses this log to look up the labels of jobs.
    pub const fn new(log: Log) -> Self {
        Self { log }
    }
}

impl Projection for Webhooks {
    type Prepared = PreparedMessages;

    const NAME: &'static str = "webhooks";
    const TABLES: &'static [&'static str] = &["webhook", "delivery", "delivery_attempt", "replay"];

    async fn prepare(
        &self,
        connection: &mut PgConnection,
        codec: &Codec,
        batch: &[Message],
    ) -> Result<PreparedMessages, ProjectionError> {
        let endpoints = endpoints_of(connection, batch).await?;
        self.read(codec, &endpoints, batch.iter(), Receivers::All).await
    }

    async fn apply(
        &self,
        transaction: &mut PgConnection,
        codec: &Codec,
        batch: &[Message],
        prepared: &PreparedMessages,
    ) -> Result<(), ProjectionError> {
        sealed::seal_legacy_rows(&mut *transaction, codec).await?;
        let mut endpoints = endpoints_of(transaction, batch).await?;
        let (mut matched, mut replays) = (Vec::new(), Vec::new());
        for (number, message) in batch.iter().enumerate() {
            if number > 0 && matched.len() > MAX_DELIVERIES {
                return Err(ProjectionError::TooLarge { messages: number });
            }
            let sequence = message.sequence;
            let to_error = |error| ProjectionError::from_codec(sequence, error);
            let Some((category, tenant, id)) = message.address() else { continue };
            let Ok(tenant) = tenant.parse::<Tenant>() else { continue };
            if !prepared.contains(sequence) {
                return Err(ProjectionError::Poison { sequence, flaw: Flaw::Unreadable });
            }
            let Some(public) = prepared.public(sequence) else { continue };
            if let Some(callback) = &public.callback {
                endpoints.add_callback(&tenant, public, callback, sequence);
            }
            let to_match = ToMatch { tenant: &tenant, sequence, public, only: None };
            self.find(&endpoints, to_match, &mut matched);
            if category == Webhook::CATEGORY {
                let Ok(hook) = id.parse::<WebhookId>() else { continue };
                let decision: Decision<WebhookEvent> =
                    codec.read(message).await.map_err(to_error)?;
                let at = Timestamp::from_millis(decision.at);
                for event in &decision.events {
                    endpoints.apply(hook, &tenant, at, event, sequence);
                    match event {
                        WebhookEvent::Tested {} => {
                            let traceparent = decision.traceparent.clone();
                            matched.extend(endpoints.test(hook, sequence, at, traceparent));
                        }
                        WebhookEvent::ReplayAsked { sequence: after, index } => {
                            let (tenant, after) = (tenant.clone(), (*after, *index));
                            replays.push(ReplayRequest { hook, tenant, after, until: sequence });
                        }
                        WebhookEvent::Created { .. }
                        | WebhookEvent::Updated { .. }
                        | WebhookEvent::SecretRotated { .. }
                        | WebhookEvent::Disabled { .. }
                        | WebhookEvent::Enabled {}
                        | WebhookEvent::Deleted {} => {}
                    }
                }
            }
        }
        let hooks = matched.iter().map(|delivery| delivery.hook);
        endpoints.lock(transaction, hooks.collect()).await?;
        for replay in &replays {
            replay.write(transaction).await?;
        }
        endpoints.store(transaction, codec).await?;
        enqueue(transaction, &matched).await
    }

    async fn erase(
        &self,
        transaction: &mut PgConnection,
        tenant: &Tenant,
    ) -> Result<(), ProjectionError> {
        for statement in [
            "UPDATE webhook SET doc = doc || '{\"url\": null, \"description\": null}',
                 sealed = NULL, status = 'deleted', due_at = NULL
             WHERE tenant = $1",
            "DELETE FROM delivery_attempt
             WHERE hook_id IN (SELECT id FROM webhook WHERE tenant = $1)",
            "DELETE FROM delivery WHERE tenant = $1",
            "DELETE FROM replay WHERE tenant = $1",
        ] {
            sqlx::query(statement).bind(tenant.as_str()).execute(&mut *transaction).await?;
        }
        Ok(())
    }
}

/// Deliveries of one transaction: senders wait for the endpoints that it locks.
const MAX_DELIVERIES: usize = 10_000;

/// A message whose events are to be matched with endpoints.
#[derive(Clone, Copy)]
struct ToMatch<'a> {
    tenant: &'a Tenant,
    /// Stream sequence of the message.
    sequence: u64,
    public: &'a PublicMessage,
    /// If set, only this endpoint is matched.
    only: Option<WebhookId>,
}

impl Webhooks {
    /// Adds the deliveries for a message to `matched`.
    fn find(&self, endpoints: &Endpoints, to_match: ToMatch<'_>, matched: &mut Vec<NewDelivery>) {
        let ToMatch { tenant, sequence, public, only } = to_match;
        for (index, event) in &public.events {
            let mut hooks = endpoints.subscribed(tenant, &public.thing, event.kind);
            hooks.retain(|hook| {
                // A webhook's own events are not sent to itself.
                let own = public.field == "webhook_id" && hook.to_string() == public.thing;
                !own && only.is_none_or(|only| only == *hook)
            });
            if hooks.is_empty() {
                continue;
            }
            let epoch = self.log.identity().epoch;
            let position = Position { epoch, sequence, index: *index };
            let body: Arc<str> = body::body(public, event, position).into();
            matched.extend(hooks.into_iter().map(|hook| NewDelivery {
                hook,
                id: format!("evt_{sequence}-{index}"),
                tenant: tenant.to_string(),
                thing: public.thing.clone(),
                position: (sequence, *index),
                kind: event.kind.to_owned(),
                body: Arc::clone(&body),
                at: public.at,
                traceparent: public.traceparent.clone(),
                resend: false,
            }));
        }
    }
}

/// The endpoints of the tenants and resources of a batch.
async fn endpoints_of(
    connection: &mut PgConnection,
    batch: &[Message],
) -> Result<Endpoints, ProjectionError> {
    let tenants = batch.iter().filter_map(|message| Some(message.address()?.1.to_owned()));
    let things = batch.iter().filter_map(|message| Some(message.address()?.2.to_owned()));
    Endpoints::load(connection, &tenants.collect(), &things.collect()).await
}
