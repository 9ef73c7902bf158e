//! Answers gateways' questions without a job: what a job would do (plan), and what a file contains
//! (probe). The same media child and the same planning code as for a job are used.

mod fair_queue;

use std::time::{Duration, Instant};

use ffapi_domain::{
    Tenant,
    job::FailureCode,
    media::{
        Capabilities, DryRun, PLAN, PLAN_TIMEOUT, PROBE_UPLOAD, PROBE_UPLOAD_TIMEOUT, PlanRequest,
        PlanResponse, Pool, ProbeUploadRequest, ProbeUploadResponse, pools,
    },
};
use ffapi_media::{
    MediaError,
    protocol::{ChildMessage, PoolAssignment, ProtocolViolation, Task as MediaTask, checked_json},
};
use ffapi_nats::LiveMessage;
use futures::{StreamExt, stream::FuturesUnordered};
use serde::Deserialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use self::fair_queue::FairQueue;
use crate::{
    attempt::{AttemptContext, check_written},
    failure::erased,
    input_fetcher::TaskInputs,
    metrics::{self, worker::Question},
    slot::{DiskMeter, Slot, Usage},
    worker::Worker,
};

/// Plans made at once; separate from probes, so that neither delays the other.
const MAX_PLANS: usize = 2;
/// Files probed at once.
const MAX_PROBES: usize = 4;
/// Children that answer questions at once.
pub(crate) const MAX_QUESTIONS: usize = MAX_PLANS + MAX_PROBES;

/// The part of a question that names the tenant asking it.
#[derive(Debug, Deserialize)]
struct Asker {
    tenant: Tenant,
}

/// One kind of question: its subject and limits.
#[derive(Clone, Copy)]
struct QuestionKind {
    subject: &'static str,
    slots: usize,
    /// How long the asker waits for an answer.
    timeout: Duration,
}

const PLAN_KIND: QuestionKind =
    QuestionKind { subject: PLAN, slots: MAX_PLANS, timeout: PLAN_TIMEOUT };
const PROBE_KIND: QuestionKind =
    QuestionKind { subject: PROBE_UPLOAD, slots: MAX_PROBES, timeout: PROBE_UPLOAD_TIMEOUT };

/// How long a plan may take: short enough that the asker still receives the timeout error.
const PLANNING_TIMEOUT: Duration = Duration::from_millis(4_500);

/// How often the memory and the files of such a child are checked.
const USAGE_CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// Bytes that such a child may write: an intact one writes next to nothing.
const MAX_WRITTEN: u64 = 64 * 1024 * 1024;

impl Worker {
    /// Answers questions until `stop` is cancelled.
    pub(crate) async fn answer_questions(&self, stop: &CancellationToken) {
        tokio::join!(self.answer_on(PLAN_KIND, stop), self.answer_on(PROBE_KIND, stop));
    }

    async fn answer_on(&self, kind: QuestionKind, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            let subscribed = self.context.pubsub.queue_subscribe(kind.subject, "workers").await;
            let Ok(mut questions) = subscribed else {
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            };
            let mut queue = FairQueue::new(kind.slots, kind.timeout);
            let mut answers = FuturesUnordered::new();
            loop {
                while let Some((tenant, question)) = queue.take(Instant::now()) {
                    answers.push(async move {
                        self.answer(kind, question).await;
                        tenant
                    });
                }
                tokio::select! {
                    () = stop.cancelled() => break,
                    Some(tenant) = answers.next() => queue.done(&tenant),
                    question = questions.next() => {
                        let Some(question) = question else { break };
                        if let Ok(Asker { tenant }) = serde_json::from_slice(&question.payload) {
                            queue.add(tenant, Instant::now(), question);
                        }
                    }
                }
            }
            answers.collect::<Vec<_>>().await;
        }
    }

    async fn answer(&self, kind: QuestionKind, question: LiveMessage) {
        let answer = match kind.subject {
            PLAN => self.answer_plan(&question.payload).await,
            _ => self.answer_probe(&question.payload).await,
        };
        if let Some(answer) = answer {
            self.context.pubsub.respond(&question, answer).await;
        }
    }

    async fn answer_plan(&self, payload: &[u8]) -> Option<Vec<u8>> {
        let question: PlanRequest = serde_json::from_slice(payload).ok()?;
        let start = Instant::now();
        let planned = self
            .with_child(Question::Plan, PLANNING_TIMEOUT, async |slot| {
                self.plan(&question, slot).await
            })
            .await;
        metrics::worker::answered(Question::Plan, start.elapsed(), &planned);
        let answer = match planned {
            Ok(dry_run) => PlanResponse::WouldDo(dry_run),
            Err(MediaError { code, message }) => PlanResponse::WouldFail { code, message },
        };
        serde_json::to_vec(&answer).ok()
    }

    async fn answer_probe(&self, payload: &[u8]) -> Option<Vec<u8>> {
        let question: ProbeUploadRequest = serde_json::from_slice(payload).ok()?;
        let start = Instant::now();
        let probed = self
            .with_child(Question::Probe, PROBE_UPLOAD_TIMEOUT, async |slot| {
                self.probe(&question, slot).await
            })
            .await;
        metrics::worker::answered(Question::Probe, start.elapsed(), &probed);
        let answer = match probed {
            Ok(facts) => ProbeUploadResponse::Is(facts),
            Err(MediaError { code, message }) => ProbeUploadResponse::IsNot { code, message },
        };
        serde_json::to_vec(&answer).ok()
    }

    /// Runs a question in a new child, which is ended after `timeout`, or when it takes too much memory
    /// or space on the disk.
    async fn with_child<T>(
        &self,
        question: Question,
        timeout: Duration,
        ask: impl AsyncFnOnce(&mut Slot) -> Result<T, MediaError>,
    ) -> Result<T, MediaError> {
        let mut slot = self.question_spawner.spawn().await?;
        let usage =
            ChildUsage { process: slot.process(), memory: slot.memory, disk: slot.folder.meter() };
        let result = tokio::select! {
            result = ask(&mut slot) => {
                let has_exceeded = slot.ran_out_of_memory();
                result.map_err(|error| failure_of(question, error, has_exceeded))
            }
            error = usage.exceeded() => Err(error),
            () = tokio::time::sleep(timeout) => Err(MediaError {
                code: FailureCode::MediaStalled,
                message: "reading the inputs takes too long".to_owned(),
            }),
        };
        slot.end().await;
        result
    }

    async fn plan(
        &self,
        question: &PlanRequest,
        slot: &mut Slot,
    ) -> Result<Box<DryRun>, MediaError> {
        let AttemptContext { input_fetcher, commands, capabilities, scratch, .. } = &*self.context;
        let scratch = scratch.for_question();
        let mut inputs = TaskInputs::on(&scratch);
        for (number, (input, _)) in question.request.inputs().into_iter().enumerate() {
            let input = input.as_ref().ok_or_else(|| erased("input"))?;
            let fetched = slot.folder.fetched(number);
            let opening =
                input_fetcher.open(commands, &question.tenant, input, &fetched, &mut inputs);
            opening.await?;
        }
        let request = Box::new(question.request.clone());
        let devices = question.devices.clone();
        let hardware = question.hardware;
        let pool = hardware.map_or(Pool::Cpu, |wanted| wanted.pool(&pools(&devices)));
        let assignment = PoolAssignment { hardware, pool };
        let capabilities = Capabilities { devices, ..capabilities.clone() };
        let task = MediaTask::Plan { request, capabilities, assignment };
        slot.send_task(&task, &inputs.files).await.map_err(not_answering)?;
        inputs.files.clear();
        loop {
            match next_message(slot, &inputs).await? {
                Some(ChildMessage::WouldDo(dry_run)) => return Ok(dry_run),
                Some(ChildMessage::Failed { code, message }) => {
                    return Err(MediaError { code, message });
                }
                Some(_) => {}
                None => return Err(slot.post_mortem().await),
            }
        }
    }

    async fn probe(
        &self,
        question: &ProbeUploadRequest,
        slot: &mut Slot,
    ) -> Result<Value, MediaError> {
        let AttemptContext { input_fetcher, commands, scratch, .. } = &*self.context;
        let scratch = scratch.for_question();
        let fetched = slot.folder.fetched(0);
        let mut inputs = TaskInputs::on(&scratch);
        let opening =
            input_fetcher.open(commands, &question.tenant, &question.input, &fetched, &mut inputs);
        opening.await?;
        slot.send_task(&MediaTask::Facts, &inputs.files).await.map_err(not_answering)?;
        inputs.files.clear();
        loop {
            match next_message(slot, &inputs).await? {
                Some(ChildMessage::Facts(facts)) => {
                    return checked_json(facts.shown()).map_err(invalid_facts);
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

/// The failure of a question whose child failed. What exhausts the memory of a probe is the file's fault,
/// which is then rejected: a child that was killed for another reason than its own limit has crashed. A plan
/// fails with the code that its job would fail with.
fn failure_of(question: Question, error: MediaError, has_exceeded: bool) -> MediaError {
    match (question, error.code) {
        (Question::Probe, FailureCode::ResourceExhausted) if !has_exceeded => {
            MediaError { code: FailureCode::MediaCrashed, ..error }
        }
        _ => error,
    }
}

/// The child's next message, unless an input cannot be read.
async fn next_message(
    slot: &mut Slot,
    inputs: &TaskInputs<'_>,
) -> Result<Option<ChildMessage>, MediaError> {
    tokio::select! {
        biased;
        failure = inputs.ranged.failed() => Err(failure),
        message = slot.receive() => message.map_err(not_answering),
    }
}

/// The resource usage of a child that answers a question.
struct ChildUsage {
    process: Option<u32>,
    /// Its limit in bytes.
    memory: u64,
    disk: DiskMeter,
}

impl ChildUsage {
    /// Completes with an error once the child takes more than it may.
    async fn exceeded(&self) -> MediaError {
        loop {
            tokio::time::sleep(USAGE_CHECK_INTERVAL).await;
            if self.process.is_some_and(|process| Usage::of(process).memory > self.memory) {
                return MediaError {
                    code: FailureCode::ResourceExhausted,
                    message: format!(
                        "reading the inputs takes more than the {} MiB of memory that it may take",
                        self.memory / 1024 / 1024
                    ),
                };
            }
            let usage = self.disk.usage(self.process).await.unwrap_or_default();
            if let Err(error) = check_written(&usage, MAX_WRITTEN) {
                return MediaError { code: FailureCode::MediaCrashed, ..error };
            }
        }
    }
}

fn not_answering(error: std::io::Error) -> MediaError {
    let message = format!("a media child does not answer: {error}");
    MediaError { code: FailureCode::Internal, message }
}

fn invalid_facts(error: ProtocolViolation) -> MediaError {
    MediaError { code: FailureCode::MediaCrashed, message: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_keeps_the_code_of_its_job_and_a_file_is_blamed_only_for_its_own_memory() {
        let code = |question, code, has_exceeded| {
            let error = MediaError { code, message: String::new() };
            failure_of(question, error, has_exceeded).code
        };
        let exhausted = FailureCode::ResourceExhausted;
        assert_eq!(code(Question::Plan, exhausted, false), exhausted);
        assert_eq!(code(Question::Probe, exhausted, true), exhausted);
        assert_eq!(code(Question::Probe, exhausted, false), FailureCode::MediaCrashed);
        let invalid = FailureCode::InvalidInput;
        assert_eq!(code(Question::Probe, invalid, false), invalid);
    }
}
