//! Answers: who is to be told of what, and what became of it? One reader of the log writes a row for
//! each event and endpoint; senders drain the rows of each endpoint, so an outage is lag and no loss.

mod deliveries;
mod endpoints;
mod matching;
mod replay;
mod sealed;
mod sending;

use std::collections::BTreeMap;

use ffapi_domain::{
    Decider, Tenant, Timestamp, WebhookId,
    job::{Job, JobEvent},
    webhook::{Webhook, WebhookEvent},
};
use ffapi_nats::{Codec, CodecError, Decision, Log, Message};
use serde_json::Value;
use sqlx::PgConnection;

pub use self::{
    deliveries::{AttemptRow, DeliveryRow, count_deliveries, deliveries, forget_deliveries},
    endpoints::{count, is_replayed, is_there, page},
    replay::Replays,
    sending::{Alive, Due, Endpoint, Outcome, Share, claim, due, record, release, remind},
};
use self::{
    endpoints::Endpoints,
    matching::{Matched, store},
    replay::Ask,
};
use crate::{Projection, ProjectionError, public_message, public_message::PublicMessage};

/// The one reader.
#[derive(Debug)]
pub struct Webhooks {
    log: Log,
}

impl Webhooks {
    /// Over this log.
    pub const fn new(log: Log) -> Self {
        Self { log }
    }
}

impl Projection for Webhooks {
    const NAME: &'static str = "webhooks";
    const TABLES: &'static [&'static str] = &["webhook", "delivery", "delivery_attempt", "replay"];

    async fn apply(
        &self,
        transaction: &mut PgConnection,
        codec: &Codec,
        batch: &[Message],
    ) -> Result<(), ProjectionError> {
        sealed::seal_rows_of_before(&mut *transaction, codec).await?;
        let tenants = batch.iter().filter_map(|message| Some(message.address()?.1.to_owned()));
        let things = batch.iter().filter_map(|message| Some(message.address()?.2.to_owned()));
        let mut endpoints =
            Endpoints::load(transaction, &tenants.collect(), &things.collect()).await?;
        let (mut matched, mut asked) = (Vec::new(), Vec::new());
        for message in batch {
            let sequence = message.sequence;
            let broken = |error| ProjectionError::from_codec(sequence, error);
            let Some((category, tenant, id)) = message.address() else { continue };
            let Ok(tenant) = tenant.parse::<Tenant>() else { continue };
            let Some(told) = public_message::told(codec, message).await.map_err(broken)? else {
                continue;
            };
            if let Some(callback) = &told.callback {
                endpoints.add_own(&tenant, &told, callback, sequence);
            }
            let to_match = ToMatch { tenant: &tenant, sequence, told: &told, only: None };
            self.find(codec, &endpoints, to_match, &mut matched).await?;
            if category == Webhook::CATEGORY {
                let Ok(hook) = id.parse::<WebhookId>() else { continue };
                let decision: Decision<WebhookEvent> =
                    codec.decode(&message.payload).await.map_err(broken)?;
                let at = Timestamp::from_millis(decision.at);
                for event in &decision.events {
                    endpoints.apply(hook, &tenant, at, event, sequence);
                    match event {
                        WebhookEvent::Tested {} => {
                            matched.extend(endpoints.test(hook, sequence, at));
                        }
                        WebhookEvent::ReplayAsked { sequence: after, index } => {
                            let (tenant, after) = (tenant.clone(), (*after, *index));
                            asked.push(Ask { hook, tenant, after, until: sequence });
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
        let hooks = matched.iter().map(|one| one.hook);
        endpoints.lock(transaction, hooks.collect()).await?;
        for ask in &asked {
            ask.write(transaction).await?;
        }
        endpoints.store(transaction, codec).await?;
        store(transaction, &matched).await
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

/// A message whose events are matched with endpoints.
#[derive(Clone, Copy)]
struct ToMatch<'a> {
    tenant: &'a Tenant,
    /// Of the message in the log.
    sequence: u64,
    told: &'a PublicMessage,
    /// No other endpoint gets it.
    only: Option<WebhookId>,
}

impl Webhooks {
    /// What is to be sent to whom for a message.
    async fn find(
        &self,
        codec: &Codec,
        endpoints: &Endpoints,
        to_match: ToMatch<'_>,
        matched: &mut Vec<Matched>,
    ) -> Result<(), ProjectionError> {
        let ToMatch { tenant, sequence, told, only } = to_match;
        for (index, event) in &told.events {
            let mut hooks = endpoints.wanting(tenant, &told.thing, event.kind);
            hooks.retain(|hook| {
                // A webhook's own events are not sent to itself.
                let own = told.field == "webhook_id" && hook.to_string() == told.thing;
                !own && only.is_none_or(|only| only == *hook)
            });
            if hooks.is_empty() {
                continue;
            }
            let mut event = event.clone();
            if event.terminal && told.field == "job_id" {
                self.label(codec, tenant, &told.thing, &mut event.data).await?;
            }
            let body = matching::body(told, &event);
            matched.extend(hooks.into_iter().map(|hook| Matched {
                hook,
                id: format!("evt_{sequence}-{index}"),
                tenant: tenant.to_string(),
                thing: told.thing.clone(),
                place: (sequence, *index),
                kind: event.kind.to_owned(),
                body: body.clone(),
                at: told.at,
                again: false,
            }));
        }
        Ok(())
    }

    /// The end of a job comes with the labels that its submission had.
    async fn label(
        &self,
        codec: &Codec,
        tenant: &Tenant,
        job: &str,
        data: &mut Value,
    ) -> Result<(), ProjectionError> {
        let subject = format!("ev.{}.{tenant}.{job}", Job::CATEGORY);
        let Some(first) = self.log.page(&subject, 1, 1).await?.pop() else { return Ok(()) };
        let decision: Decision<JobEvent> = match codec.decode(&first.payload).await {
            Ok(decision) => decision,
            // Its labels are not known; that it ended is told all the same.
            Err(CodecError::Unreadable(_)) => return Ok(()),
            Err(error) => return Err(ProjectionError::from_codec(first.sequence, error)),
        };
        let metadata = decision.events.iter().find_map(|event| match event {
            JobEvent::Submitted { spec } => spec.metadata.as_ref(),
            _ => None,
        });
        if let (Some(metadata), Some(data)) = (metadata, data.as_object_mut()) {
            data.insert("metadata".to_owned(), serde_json::json!(metadata));
        }
        Ok(())
    }
}

/// Rows by the endpoint that they are for.
type ByHook = BTreeMap<WebhookId, i64>;
