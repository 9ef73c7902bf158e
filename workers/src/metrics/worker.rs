//! What this worker does.

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

use ffapi_domain::media::Pool;
use opentelemetry::{
    KeyValue, global,
    metrics::{Counter, Histogram, Meter, UpDownCounter},
};

use super::{SECONDS, WORK_SECONDS, count, pool_label, seconds};
use crate::attempt::Outcome;

static INSTRUMENTS: LazyLock<Instruments> = LazyLock::new(|| Instruments::new(&meter()));

fn meter() -> Meter {
    global::meter("ffapi-workers")
}

struct Instruments {
    slots: UpDownCounter<i64>,
    attempts: Histogram<f64>,
    stages: Histogram<f64>,
    child_starts: Histogram<f64>,
    questions: Histogram<f64>,
    answers: Counter<u64>,
}

impl Instruments {
    fn new(meter: &Meter) -> Self {
        Self {
            slots: meter
                .i64_up_down_counter("ffapi.worker.slots")
                .with_description("Slots of this worker, by whether a task runs in them")
                .build(),
            attempts: seconds(
                meter,
                "ffapi.attempt.duration",
                "Time of an attempt in a worker, by how it ended here",
                &WORK_SECONDS,
            ),
            stages: seconds(
                meter,
                "ffapi.attempt.stage.duration",
                "Time that an attempt spends in each of its stages",
                &WORK_SECONDS,
            ),
            child_starts: seconds(
                meter,
                "ffapi.media.child_start.duration",
                "Time to start a media child and its sandbox",
                &SECONDS,
            ),
            questions: seconds(
                meter,
                "ffapi.questions.duration",
                "Time to answer a gateway's question: a plan, or a probe of an upload",
                &SECONDS,
            ),
            answers: count(
                meter,
                "ffapi.questions.answered",
                "Answers to gateways' questions, by what the media child found",
            ),
        }
    }
}

/// Shows what this worker is: constant for as long as it runs.
pub(crate) fn prepare(sandbox: &str, ffmpeg: &str) {
    let meter = meter();
    let infos = [
        ("ffapi.sandbox.info", "Always 1, with the sandbox of media children", "level", sandbox),
        ("ffapi.ffmpeg.info", "Always 1, with the version of FFmpeg", "version", ffmpeg),
    ];
    for (name, description, label, value) in infos {
        let labels = [KeyValue::new(label, value.to_owned())];
        meter
            .u64_observable_gauge(name)
            .with_description(description)
            .with_callback(move |observer| observer.observe(1, &labels))
            .build();
    }
}

fn slot_labels(pool: Pool, state: &'static str) -> [KeyValue; 2] {
    [pool_label(pool), KeyValue::new("state", state)]
}

/// A slot of this worker, counted as idle or busy until it is dropped.
#[derive(Debug)]
pub(crate) struct CountedSlot {
    pool: Pool,
}

impl CountedSlot {
    pub(crate) fn idle(pool: Pool) -> Self {
        INSTRUMENTS.slots.add(1, &slot_labels(pool, "idle"));
        INSTRUMENTS.slots.add(0, &slot_labels(pool, "busy"));
        Self { pool }
    }

    /// Counts it as busy until what is returned is dropped.
    pub(crate) fn busy(&self) -> BusySlot<'_> {
        INSTRUMENTS.slots.add(-1, &slot_labels(self.pool, "idle"));
        INSTRUMENTS.slots.add(1, &slot_labels(self.pool, "busy"));
        BusySlot(self)
    }
}

impl Drop for CountedSlot {
    fn drop(&mut self) {
        INSTRUMENTS.slots.add(-1, &slot_labels(self.pool, "idle"));
    }
}

/// A slot in which a task runs.
#[derive(Debug)]
pub(crate) struct BusySlot<'a>(&'a CountedSlot);

impl Drop for BusySlot<'_> {
    fn drop(&mut self) {
        INSTRUMENTS.slots.add(-1, &slot_labels(self.0.pool, "busy"));
        INSTRUMENTS.slots.add(1, &slot_labels(self.0.pool, "idle"));
    }
}

pub(crate) fn attempted(pool: Pool, time: Duration, outcome: &Outcome) {
    let outcome = match outcome {
        Outcome::Done => "done",
        Outcome::Fail(_) => "failed",
        Outcome::Cancelled => "cancelled",
        Outcome::Superseded => "superseded",
        Outcome::Abandoned => "abandoned",
    };
    let labels = [pool_label(pool), KeyValue::new("outcome", outcome)];
    INSTRUMENTS.attempts.record(time.as_secs_f64(), &labels);
}

/// A part of an attempt that the worker does itself.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stage {
    /// Recording the start in the log, and reading the job's history.
    Starting,
    /// Everything of the media child: inputs, work, verification, staging of its outputs.
    Media,
    /// Recording the sealed outputs.
    Sealing,
    /// Publishing the outputs under their final names, and recording the end.
    Delivering,
}

/// Measures one stage after another.
#[derive(Debug)]
pub(crate) struct StageClock(Instant);

impl StageClock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Records the stage that has ended; the next one begins.
    pub(crate) fn end(&mut self, stage: Stage) {
        let name = match stage {
            Stage::Starting => "starting",
            Stage::Media => "media",
            Stage::Sealing => "sealing",
            Stage::Delivering => "delivering",
        };
        record_stage(name, self.0.elapsed());
        self.0 = Instant::now();
    }
}

pub(super) fn record_stage(stage: &'static str, time: Duration) {
    INSTRUMENTS.stages.record(time.as_secs_f64(), &[KeyValue::new("stage", stage)]);
}

pub(crate) fn child_started(time: Duration) {
    INSTRUMENTS.child_starts.record(time.as_secs_f64(), &[]);
}

/// A question of a gateway.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Question {
    Plan,
    Probe,
}

/// Records an answer: what was asked for, or the reason why it cannot be had.
pub(crate) fn answered<T, E>(question: Question, time: Duration, answer: &Result<T, E>) {
    let question = match question {
        Question::Plan => "plan",
        Question::Probe => "probe",
    };
    let outcome = if answer.is_ok() { "answered" } else { "rejected" };
    let question = KeyValue::new("question", question);
    INSTRUMENTS.questions.record(time.as_secs_f64(), std::slice::from_ref(&question));
    INSTRUMENTS.answers.add(1, &[question, KeyValue::new("outcome", outcome)]);
}
