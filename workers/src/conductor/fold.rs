use std::sync::Arc;

use ffapi_domain::{
    BatchId, Category, Tenant, Timestamp,
    account::AccountEvent,
    batch::{self, BatchEvent},
    dispatch::DispatchEvent,
    key::KeyEvent,
    media::Pool,
    queue_quota::QueueQuotaEvent,
    quota::QuotaEvent,
    storage_quota::StorageQuotaEvent,
    upload::UploadEvent,
};
use ffapi_nats::Message;

use super::Conductor;
use crate::cloud_events::{self, Source};

impl Conductor {
    /// Folds in a message. If it is new, and this conductor acts, its public events are published.
    pub(super) async fn fold(&mut self, message: &Message, first_new: u64) {
        self.last_folded = message.sequence;
        let Some((category, tenant, id)) = message.address() else { return };
        let commands = Arc::clone(&self.commands);
        let codec = commands.codec();
        match Category::of(category) {
            Some(Category::Dispatch) => {
                let Some(pool) = Pool::ALL.iter().copied().find(|pool| pool.as_str() == id) else {
                    return;
                };
                self.last_round.insert(pool, message.sequence);
                if let Some(decision) = codec.read_or_skip::<DispatchEvent>(message).await {
                    let at = Timestamp::from_millis(decision.at);
                    for event in &decision.events {
                        self.dispatch.record_dispatch(pool, at, event);
                    }
                }
            }
            Some(Category::Job) => self.fold_job(message, first_new).await,
            Some(Category::Batch) => self.fold_batch(message, first_new).await,
            Some(Category::Quota) => {
                let Ok(tenant) = tenant.parse() else { return };
                let Some(decision) = codec.read_or_skip::<QuotaEvent>(message).await else {
                    return;
                };
                let is_live = |job| self.dispatch.is_live(job);
                for event in &decision.events {
                    self.quotas.quota(&tenant, id, event, is_live);
                }
            }
            Some(Category::QueueQuota) => {
                let Ok(tenant) = tenant.parse() else { return };
                let Some(decision) = codec.read_or_skip::<QueueQuotaEvent>(message).await else {
                    return;
                };
                let at = Timestamp::from_millis(decision.at);
                decision
                    .events
                    .iter()
                    .for_each(|event| self.queue_quotas.queue_quota(&tenant, at, event));
            }
            Some(Category::Account) => {
                let Ok(tenant) = tenant.parse() else { return };
                let Some(decision) = codec.read_or_skip::<AccountEvent>(message).await else {
                    return;
                };
                let caps = self.dispatch.caps_mut();
                decision.events.iter().for_each(|event| caps.account(&tenant, event));
                if decision.events.contains(&AccountEvent::Erased {}) {
                    self.storage_quotas.erased(&tenant);
                }
                self.commands.forget(tenant.as_str()).await;
            }
            Some(Category::Upload) => {
                let (Ok(upload), Ok(tenant)) = (id.parse(), tenant.parse()) else { return };
                let Some(decision) = codec.read_or_skip::<UploadEvent>(message).await else {
                    return;
                };
                let quotas = &mut self.storage_quotas;
                decision.events.iter().for_each(|event| quotas.upload(&tenant, upload, event));
            }
            Some(Category::StorageQuota) => {
                let Ok(tenant) = tenant.parse() else { return };
                let Some(decision) = codec.read_or_skip::<StorageQuotaEvent>(message).await else {
                    return;
                };
                decision
                    .events
                    .iter()
                    .for_each(|event| self.storage_quotas.storage_quota(&tenant, event));
            }
            Some(Category::Key) => {
                let Ok(key) = id.parse() else { return };
                let Some(decision) = codec.read_or_skip::<KeyEvent>(message).await else { return };
                decision.events.iter().for_each(|event| self.dispatch.caps_mut().key(key, event));
            }
            Some(
                Category::KeyQuota
                | Category::Output
                | Category::Preset
                | Category::Restoration
                | Category::Webhook
                | Category::WebhookQuota,
            )
            | None => {}
        }
    }

    /// Folds in a decision about a batch. If it is new, and this conductor acts, it is published.
    async fn fold_batch(&mut self, message: &Message, first_new: u64) {
        let Some((_, tenant, id)) = message.address() else { return };
        let parsed = (id.parse::<BatchId>(), tenant.parse::<Tenant>());
        let (Ok(batch_id), Ok(tenant)) = parsed else { return };
        let codec = self.commands.codec();
        let Some(decision) = codec.read_or_skip::<BatchEvent>(message).await else { return };
        let at = Timestamp::from_millis(decision.at);
        for event in &decision.events {
            self.batches.batch(batch_id, &tenant, at, event);
            self.queue_quotas.batch(&tenant, event);
        }
        self.stragglers.batch(&tenant, batch_id, &decision.events, self.dispatch.caps());
        self.record_caller(batch_id, &decision);
        if message.sequence >= first_new && self.leadership.is_leader() {
            let events = decision.events.iter().map(batch::public);
            let source = Source { tenant: &tenant, id, position: self.position(message), at };
            cloud_events::publish(&self.pubsub, source, events).await;
        }
    }
}
