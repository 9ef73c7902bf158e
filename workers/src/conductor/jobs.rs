use ffapi_domain::{
    JobId, Tenant, Timestamp,
    job::{self, JobEvent},
};
use ffapi_nats::{Actor, Message, failpoint};

use super::Conductor;
use crate::{
    clock,
    cloud_events::{self, Source},
    metrics,
};

impl Conductor {
    /// Folds in a decision about a job. If it is new, and this conductor acts, it is counted and
    /// published.
    pub(super) async fn fold_job(&mut self, message: &Message, first_new: u64) {
        let Some((_, tenant, id)) = message.address() else { return };
        let parsed = (id.parse::<JobId>(), tenant.parse::<Tenant>());
        let (Ok(job_id), Ok(tenant)) = parsed else { return };
        if self.unreadable.contains(&message.subject) {
            return;
        }
        let Some(decision) = self.commands.codec().read_or_skip::<JobEvent>(message).await else {
            // Nothing can be decided about it any more; it must not occupy a slot.
            self.unreadable.add(&message.subject);
            let over = JobEvent::Cancelled {};
            self.dispatch.job(job_id, &tenant, None, clock::now(), &over);
            return;
        };
        let key = match &decision.actor {
            Actor::Key(key) => key.parse().ok(),
            Actor::Worker(_) | Actor::Process(_) => None,
        };
        let at = Timestamp::from_millis(decision.at);
        let acts = message.sequence >= first_new && self.leadership.is_leader();
        for event in &decision.events {
            if acts {
                metrics::conductor::job_event(event, at, self.dispatch.facts(job_id));
            }
            self.dispatch.job(job_id, &tenant, key, at, event);
            self.quotas.job(job_id, event);
            self.batches.job(job_id, event);
            self.queue_quotas.job(&tenant, job_id, event);
            self.storage_quotas.job(&tenant, job_id, event);
        }
        self.origins.job(job_id, &decision);
        self.stragglers.job(&tenant, job_id, &decision.events, self.dispatch.caps());
        if acts {
            failpoint::hit("conductor.before_announce");
            let events = decision.events.iter().map(job::public);
            let source = Source { tenant: &tenant, id, position: self.position(message), at };
            cloud_events::publish(&self.pubsub, source, events).await;
        }
    }
}
