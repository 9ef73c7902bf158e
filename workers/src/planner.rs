//! Answers what a job would do and what a file is: the same child, the same plan, no job.

mod turns;

use std::time::{Duration, Instant};

use ffapi_domain::{
    Tenant,
    job::FailureCode,
    media::{
        Capabilities, LOOK, LOOK_TIMEOUT, LookAnswer, LookQuestion, PLAN, PLAN_TIMEOUT, PlanAnswer,
        PlanQuestion, Pool, pools,
    },
};
use ffapi_media::{
    MediaError,
    protocol::{ChildMessage, Place, Task as MediaTask, Unbelievable, checked_json},
};
use ffapi_nats::LiveMessage;
use futures::{StreamExt, stream::FuturesUnordered};
use serde::Deserialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use self::turns::Turns;
use crate::{
    attempt::AttemptContext,
    failure::erased,
    slot::{Slot, Usage},
    worker::Worker,
};

/// Jobs that are planned, and files that are looked into, at once: none keeps the other waiting.
const PLANS: usize = 2;
const LOOKS: usize = 4;
/// Children that answer questions at once.
pub(crate) const QUESTIONS: usize = PLANS + LOOKS;
/// Who asks a question.
#[derive(Debug, Deserialize)]
struct Asker {
    tenant: Tenant,
}

/// One kind of question.
#[derive(Clone, Copy)]
struct Questions {
    subject: &'static str,
    slots: usize,
    /// How long its asker waits.
    timeout: Duration,
}

const PLAN_QUESTIONS: Questions = Questions { subject: PLAN, slots: PLANS, timeout: PLAN_TIMEOUT };
const LOOK_QUESTIONS: Questions = Questions { subject: LOOK, slots: LOOKS, timeout: LOOK_TIMEOUT };

/// How long a plan may take: its asker still hears that it took too long.
const PLAN_TIME: Duration = Duration::from_millis(4_500);

/// How often it is looked at what such a child uses.
const MEASURE: Duration = Duration::from_millis(50);

impl Worker {
    /// Answers questions until told to stop.
    pub(crate) async fn answer_questions(&self, stop: &CancellationToken) {
        tokio::join!(self.answer_on(PLAN_QUESTIONS, stop), self.answer_on(LOOK_QUESTIONS, stop));
    }

    async fn answer_on(&self, kind: Questions, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            let listening = self.context.live.queue_subscribe(kind.subject, "workers").await;
            let Ok(mut heard) = listening else {
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            };
            let mut turns = Turns::new(kind.slots, kind.timeout);
            let mut answers = FuturesUnordered::new();
            loop {
                while let Some((tenant, question)) = turns.take(Instant::now()) {
                    answers.push(async move {
                        self.answer(kind, question).await;
                        tenant
                    });
                }
                tokio::select! {
                    () = stop.cancelled() => break,
                    Some(tenant) = answers.next() => turns.done(&tenant),
                    question = heard.next() => {
                        let Some(question) = question else { break };
                        if let Ok(Asker { tenant }) = serde_json::from_slice(&question.payload) {
                            turns.add(tenant, Instant::now(), question);
                        }
                    }
                }
            }
            answers.collect::<Vec<_>>().await;
        }
    }

    async fn answer(&self, kind: Questions, heard: LiveMessage) {
        let answer = match kind.subject {
            PLAN => self.tell_plan(&heard.payload).await,
            _ => self.tell_facts(&heard.payload).await,
        };
        if let Some(answer) = answer {
            self.context.live.answer(&heard, answer).await;
        }
    }

    async fn tell_plan(&self, asked: &[u8]) -> Option<Vec<u8>> {
        let question: PlanQuestion = serde_json::from_slice(asked).ok()?;
        let answer =
            match self.in_a_slot(PLAN_TIME, async |slot| self.plan_in(&question, slot).await).await
            {
                Ok(plan) => PlanAnswer::WouldDo(plan),
                Err(MediaError { code, message }) => PlanAnswer::WouldFail { code, message },
            };
        serde_json::to_vec(&answer).ok()
    }

    async fn tell_facts(&self, asked: &[u8]) -> Option<Vec<u8>> {
        let question: LookQuestion = serde_json::from_slice(asked).ok()?;
        let answer = match self
            .in_a_slot(LOOK_TIMEOUT, async |slot| self.look_in(&question, slot).await)
            .await
        {
            Ok(facts) => LookAnswer::Is(facts),
            Err(MediaError { code, message }) => LookAnswer::IsNot { code, message },
        };
        serde_json::to_vec(&answer).ok()
    }

    /// Lets a child look into something, for as long as anybody waits for the answer.
    async fn in_a_slot(
        &self,
        timeout: Duration,
        look: impl AsyncFnOnce(&mut Slot) -> Result<Value, MediaError>,
    ) -> Result<Value, MediaError> {
        let mut slot = self.asked.spawn().await?;
        let (process, memory) = (slot.process(), slot.memory);
        let looked = tokio::select! {
            looked = look(&mut slot) => looked.map_err(|error| match error.code {
                // Killed, and not for the limit of its own: no input's fault.
                FailureCode::ResourceExhausted if !slot.ran_out_of_memory() => {
                    MediaError { code: FailureCode::MediaCrashed, ..error }
                }
                _ => error,
            }),
            () = takes_more(process, memory) => Err(MediaError {
                code: FailureCode::ResourceExhausted,
                message: format!(
                    "the inputs take more than the {} MiB of memory that looking into them may take",
                    memory / 1024 / 1024
                ),
            }),
            () = tokio::time::sleep(timeout) => Err(MediaError {
                code: FailureCode::MediaStalled,
                message: "the inputs take too long to look into".to_owned(),
            }),
        };
        slot.end().await;
        looked
    }

    async fn plan_in(&self, question: &PlanQuestion, slot: &mut Slot) -> Result<Value, MediaError> {
        let AttemptContext { sources, commands, capabilities, .. } = &*self.context;
        let mut inputs = Vec::new();
        for (number, (input, _)) in question.request.inputs().into_iter().enumerate() {
            let input = input.as_ref().ok_or_else(|| erased("input"))?;
            let fetched = slot.folder.fetched(number);
            inputs.push(sources.open(commands, &question.tenant, input, &fetched).await?);
        }
        let request = Box::new(question.request.clone());
        let devices = question.devices.clone();
        let hardware = question.hardware;
        let pool = hardware.map_or(Pool::Cpu, |wish| wish.pool(&pools(&devices)));
        let place = Place { hardware, pool };
        let capabilities = Capabilities { devices, ..capabilities.clone() };
        let task = MediaTask::Plan { request, capabilities, place };
        slot.give(&task, &inputs).await.map_err(broken)?;
        loop {
            match slot.hear().await.map_err(broken)? {
                Some(ChildMessage::WouldDo(plan)) => return Ok(plan),
                Some(ChildMessage::Failed { code, message }) => {
                    return Err(MediaError { code, message });
                }
                Some(_) => {}
                None => return Err(slot.post_mortem().await),
            }
        }
    }

    async fn look_in(&self, question: &LookQuestion, slot: &mut Slot) -> Result<Value, MediaError> {
        let AttemptContext { sources, commands, .. } = &*self.context;
        let fetched = slot.folder.fetched(0);
        let input = sources.open(commands, &question.tenant, &question.input, &fetched).await?;
        slot.give(&MediaTask::Facts, &[input]).await.map_err(broken)?;
        loop {
            match slot.hear().await.map_err(broken)? {
                Some(ChildMessage::Facts(facts)) => {
                    return checked_json(facts.shown()).map_err(unbelievable);
                }
                Some(ChildMessage::Failed { code, message }) => {
                    return Err(MediaError { code, message });
                }
                Some(_) => {}
                None => return Err(slot.post_mortem().await),
            }
        }
    }
}

/// Ends once a child has more memory than it may.
async fn takes_more(process: Option<u32>, memory: u64) {
    loop {
        tokio::time::sleep(MEASURE).await;
        if process.is_some_and(|process| Usage::of(process).memory > memory) {
            return;
        }
    }
}

fn broken(error: std::io::Error) -> MediaError {
    let message = format!("a media child does not answer: {error}");
    MediaError { code: FailureCode::Internal, message }
}

fn unbelievable(error: Unbelievable) -> MediaError {
    MediaError { code: FailureCode::MediaCrashed, message: error.to_string() }
}
