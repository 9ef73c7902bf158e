use ffapi_domain::dispatch::{QUEUE_TOTALS, QueuePosition, QueuePositionsRequest};
use ffapi_nats::LiveMessage;
use serde::Serialize;

use super::Conductor;

impl Conductor {
    /// Answers a query about the queue: about a tenant's waiting jobs, with their positions and why they
    /// wait, or about the numbers of all tenants.
    pub(super) async fn answer_queue_query(&self, question: &LiveMessage) {
        let present = self.roster().pools().into_keys().collect();
        if question.payload.as_ref() == QUEUE_TOTALS {
            let totals = self.dispatch.backlog(&present).totals();
            return self.respond(question, &totals).await;
        }
        let parsed: Result<QueuePositionsRequest, _> = serde_json::from_slice(&question.payload);
        let Ok(QueuePositionsRequest { tenant, job, limit }) = parsed else { return };
        let positions: Vec<QueuePosition> = match job {
            Some(job) => self.dispatch.queue_position(job, &tenant, &present).into_iter().collect(),
            None => self.dispatch.queue_positions(&tenant, &present, limit),
        };
        self.respond(question, &positions).await;
    }

    async fn respond(&self, question: &LiveMessage, answer: &(impl Serialize + Sync)) {
        if let Ok(answer) = serde_json::to_vec(answer) {
            self.pubsub.respond(question, answer).await;
        }
    }
}
