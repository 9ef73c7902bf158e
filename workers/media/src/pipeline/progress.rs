use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::protocol::{ChildMessage, Progress};

/// Reports the progress of a task over all its passes, at intervals; it never decreases.
pub(crate) struct ProgressReporter<'a> {
    say: &'a (dyn Fn(ChildMessage) + Sync),
    start: Instant,
    last_report: Mutex<Instant>,
    /// Media microseconds of one pass, if known.
    total: Option<u64>,
    passes: u32,
    pass: AtomicU32,
    done: AtomicU64,
    frames: AtomicU64,
    stage: Mutex<&'static str>,
    outputs: Mutex<Vec<(String, Arc<AtomicU64>)>>,
}

/// The minimum time between two reports.
const REPORT_INTERVAL: Duration = Duration::from_millis(200);

impl<'a> ProgressReporter<'a> {
    pub(crate) fn new(
        say: &'a (dyn Fn(ChildMessage) + Sync),
        total: Option<u64>,
        passes: u32,
    ) -> Self {
        Self {
            say,
            start: Instant::now(),
            last_report: Mutex::new(Instant::now()),
            total,
            passes: passes.max(1),
            pass: AtomicU32::new(0),
            done: AtomicU64::new(0),
            frames: AtomicU64::new(0),
            stage: Mutex::new("encoding"),
            outputs: Mutex::default(),
        }
    }

    /// Starts pass `number`, and reports that at once: it may take long until its first progress.
    pub(crate) fn begin_pass(&self, number: u32, stage: &'static str) {
        self.pass.store(number, Ordering::Relaxed);
        self.stage(stage);
    }

    /// Starts another stage of the same pass, and reports that at once.
    pub(crate) fn stage(&self, stage: &'static str) {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = stage;
        self.report();
    }

    /// Adds one of several outputs, whose progress is reported separately; returns its counter, in
    /// media microseconds.
    pub(crate) fn output(&self, name: &str) -> Arc<AtomicU64> {
        let reached = Arc::new(AtomicU64::new(0));
        let mut outputs = self.outputs.lock().unwrap_or_else(PoisonError::into_inner);
        outputs.push((name.to_owned(), Arc::clone(&reached)));
        reached
    }

    /// Counts a frame of the output.
    pub(crate) fn frame(&self) {
        self.frames.fetch_add(1, Ordering::Relaxed);
    }

    /// Sets the position of the current pass, in media microseconds.
    pub(crate) fn set_position(&self, micros: u64) {
        let within = self.total.map_or(micros, |total| micros.min(total));
        let before =
            u64::from(self.pass.load(Ordering::Relaxed)).saturating_mul(self.total.unwrap_or(0));
        let done = before.saturating_add(within) / u64::from(self.passes);
        self.done.fetch_max(done, Ordering::Relaxed);
        let mut last_report = self.last_report.lock().unwrap_or_else(PoisonError::into_inner);
        if last_report.elapsed() >= REPORT_INTERVAL {
            *last_report = Instant::now();
            drop(last_report);
            self.report();
        }
    }

    /// Reports the progress now.
    #[expect(clippy::cast_precision_loss, reason = "rates are shown, not counted")]
    pub(crate) fn report(&self) {
        let elapsed = self.start.elapsed().as_secs_f64().max(0.001);
        let done = self.done.load(Ordering::Relaxed);
        let frames = self.frames.load(Ordering::Relaxed);
        let outputs = self.outputs.lock().unwrap_or_else(PoisonError::into_inner);
        let outputs = outputs.iter();
        let outputs = outputs
            .map(|(name, reached)| (name.clone(), reached.load(Ordering::Relaxed)))
            .collect();
        (self.say)(ChildMessage::Progress(Progress {
            stage: (*self.stage.lock().unwrap_or_else(PoisonError::into_inner)).to_owned(),
            done,
            total: self.total,
            frames,
            fps: frames as f64 / elapsed,
            speed: done as f64 / 1_000_000.0 / elapsed,
            outputs,
        }));
    }
}
