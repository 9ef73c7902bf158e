//! Answers what a job would do: the same child, the same plan, no job.

use std::time::Duration;

use domain::{
    job::FailureCode,
    media::{PLAN, PlanAnswer, PlanQuestion},
};
use media::{
    MediaError,
    protocol::{Said, Task as MediaTask},
};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::{attempt::Workshop, slot::Slot, worker::Worker};

/// Longer than anybody waits for the answer.
const PATIENCE: Duration = Duration::from_secs(10);

impl Worker {
    /// Answers, one question after the other, until told to stop.
    pub(crate) async fn answer_plans(&self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            let listening = self.workshop.live.listen_in_turn(PLAN, "workers").await;
            let Ok(mut questions) = listening else {
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            };
            while let Some(heard) = tokio::select! {
                heard = questions.next() => heard,
                () = stop.cancelled() => None,
            } {
                let Ok(question) = serde_json::from_slice::<PlanQuestion>(&heard.payload) else {
                    continue;
                };
                let answer = match self.plan(&question).await {
                    Ok(plan) => PlanAnswer::WouldDo(plan),
                    Err(MediaError { code, message }) => PlanAnswer::WouldFail { code, message },
                };
                if let Ok(answer) = serde_json::to_vec(&answer) {
                    self.workshop.live.answer(&heard, answer).await;
                }
            }
        }
    }

    async fn plan(&self, question: &PlanQuestion) -> Result<Value, MediaError> {
        let mut slot = self.nursery.spawn().await?;
        let planned = tokio::time::timeout(PATIENCE, self.plan_in(question, &mut slot)).await;
        slot.end().await;
        planned.unwrap_or_else(|_| {
            let message = "the inputs take too long to look into".to_owned();
            Err(MediaError { code: FailureCode::MediaStalled, message })
        })
    }

    async fn plan_in(&self, question: &PlanQuestion, slot: &mut Slot) -> Result<Value, MediaError> {
        let Workshop { sources, commands, .. } = &*self.workshop;
        for (number, (input, _)) in question.request.inputs().into_iter().enumerate() {
            let Some(input) = input.as_ref() else { continue };
            let place = slot.input(number);
            sources.fetch(commands, &question.tenant, (input, &place)).await?;
        }
        let broken = |error: std::io::Error| MediaError {
            code: FailureCode::Internal,
            message: format!("a media child does not answer: {error}"),
        };
        let task = MediaTask::Plan {
            request: Box::new(question.request.clone()),
            capabilities: self.workshop.capabilities.clone(),
        };
        slot.give(&task).await.map_err(broken)?;
        loop {
            match slot.hear().await.map_err(broken)? {
                Some(Said::WouldDo(plan)) => return Ok(plan),
                Some(Said::Failed { code, message }) => return Err(MediaError { code, message }),
                Some(_) => {}
                None => return Err(slot.post_mortem().await),
            }
        }
    }
}
