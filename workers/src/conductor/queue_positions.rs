use ffapi_domain::dispatch::{QueuePosition, QueuePositionsRequest};
use ffapi_nats::LiveMessage;

use super::Conductor;

impl Conductor {
    /// Answers a query about a tenant's waiting jobs: their queue positions and why they wait.
    pub(super) async fn answer_queue_positions(&self, question: &LiveMessage) {
        let parsed: Result<QueuePositionsRequest, _> = serde_json::from_slice(&question.payload);
        let Ok(QueuePositionsRequest { tenant, job, limit }) = parsed else { return };
        let present = self.roster().pools().into_keys().collect();
        let positions: Vec<QueuePosition> = match job {
            Some(job) => self.dispatch.queue_position(job, &tenant, &present).into_iter().collect(),
            None => self.dispatch.queue_positions(&tenant, &present, limit),
        };
        if let Ok(answer) = serde_json::to_vec(&positions) {
            self.pubsub.respond(question, answer).await;
        }
    }
}
