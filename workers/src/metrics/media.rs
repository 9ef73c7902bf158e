//! What media children take and make, as the worker measures it.

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

use ffapi_domain::{
    job::{OutputFile, main_codec},
    media::{AudioCodec, Spent, VideoCodec},
};
use ffapi_media::protocol::Progress;
use opentelemetry::{
    KeyValue, global,
    metrics::{Counter, Histogram, Meter, UpDownCounter},
};
use tracing::{Span, debug_span};

use super::{count, worker::record_stage};
use crate::slot::Usage;

const MEGABYTE: f64 = 1024.0 * 1024.0;
/// From a probe to an encoder with a long lookahead.
const MEMORY_BYTES: [f64; 9] = [
    32.0 * MEGABYTE,
    64.0 * MEGABYTE,
    128.0 * MEGABYTE,
    256.0 * MEGABYTE,
    512.0 * MEGABYTE,
    1_024.0 * MEGABYTE,
    2_048.0 * MEGABYTE,
    4_096.0 * MEGABYTE,
    8_192.0 * MEGABYTE,
];
/// Seconds of media in a second: from a slow encoder of large frames to a copy.
const SPEEDS: [f64; 12] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 100.0, 1_000.0];
const FRAME_RATES: [f64; 11] =
    [1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 200.0, 400.0, 800.0, 1_600.0, 10_000.0];

static INSTRUMENTS: LazyLock<Instruments> =
    LazyLock::new(|| Instruments::new(&global::meter("ffapi-workers")));

struct Instruments {
    media: Counter<f64>,
    cpu: Counter<f64>,
    frames: Counter<u64>,
    output: Counter<u64>,
    speeds: Histogram<f64>,
    frame_rates: Histogram<f64>,
    memory: Histogram<u64>,
    memory_now: UpDownCounter<i64>,
    children: UpDownCounter<i64>,
}

impl Instruments {
    fn new(meter: &Meter) -> Self {
        Self {
            media: meter
                .f64_counter("ffapi.media")
                .with_unit("s")
                .with_description("Media time of completed work, as it is charged")
                .build(),
            cpu: meter
                .f64_counter("ffapi.media.cpu")
                .with_unit("s")
                .with_description("Processor time of media children, user and system")
                .build(),
            frames: count(meter, "ffapi.media.frames", "Frames that media children report"),
            output: meter
                .u64_counter("ffapi.media.output")
                .with_unit("By")
                .with_description("Bytes of outputs that were made and verified")
                .build(),
            speeds: meter
                .f64_histogram("ffapi.media.speed")
                .with_unit("1")
                .with_description("Seconds of media in a second of work")
                .with_boundaries(SPEEDS.to_vec())
                .build(),
            frame_rates: meter
                .f64_histogram("ffapi.media.frames_per_second")
                .with_description("Frames in a second of work, as media children report")
                .with_boundaries(FRAME_RATES.to_vec())
                .build(),
            memory: meter
                .u64_histogram("ffapi.media.child_memory")
                .with_unit("By")
                .with_description("Largest resident memory of each media child with a job")
                .with_boundaries(MEMORY_BYTES.to_vec())
                .build(),
            memory_now: meter
                .i64_up_down_counter("ffapi.media.children_memory")
                .with_unit("By")
                .with_description("Resident memory of all media children with a job now")
                .build(),
            children: meter
                .i64_up_down_counter("ffapi.media.children")
                .with_description("Media children that work on a job now")
                .build(),
        }
    }
}

/// Measures a media child that works on a job, until this is dropped.
#[derive(Debug)]
pub(crate) struct ChildMeter {
    kind: &'static str,
    usage: Usage,
    peak_memory: u64,
    stage: &'static str,
    stage_began: Instant,
    /// Open for as long as the stage.
    span: Span,
    frames: u64,
}

#[expect(clippy::cast_precision_loss, reason = "it is displayed, not accounted")]
impl ChildMeter {
    pub(crate) fn begin(kind: &'static str) -> Self {
        INSTRUMENTS.children.add(1, &[]);
        Self {
            kind,
            usage: Usage::default(),
            peak_memory: 0,
            stage: "probing",
            stage_began: Instant::now(),
            span: stage_span("probing"),
            frames: 0,
        }
    }

    fn label(&self) -> [KeyValue; 1] {
        [KeyValue::new("kind", self.kind)]
    }

    /// Records what the kernel says of the child.
    pub(crate) fn sample(&mut self, usage: Usage) {
        // Zero once it has been reaped.
        let cpu = usage.cpu.saturating_sub(self.usage.cpu);
        INSTRUMENTS.cpu.add(cpu.as_secs_f64(), &self.label());
        INSTRUMENTS.memory_now.add(difference(usage.memory, self.usage.memory), &[]);
        self.peak_memory = self.peak_memory.max(usage.memory);
        self.usage = Usage { cpu: usage.cpu.max(self.usage.cpu), ..usage };
    }

    /// Records the stage that the child reports, if it is another one.
    pub(crate) fn progress(&mut self, progress: &Progress) {
        self.frames = progress.frames;
        let stage = known_stage(&progress.stage);
        if stage != self.stage {
            self.end_stage();
            (self.stage, self.stage_began) = (stage, Instant::now());
            self.span = stage_span(stage);
        }
    }

    /// Records the frames of a child that is done after this many seconds.
    pub(crate) fn done(&self, seconds: f64) {
        if self.frames > 0 && seconds > 0.0 {
            INSTRUMENTS.frame_rates.record(self.frames as f64 / seconds, &self.label());
        }
    }

    fn end_stage(&self) {
        record_stage(self.stage, self.stage_began.elapsed());
    }
}

impl Drop for ChildMeter {
    fn drop(&mut self) {
        self.end_stage();
        INSTRUMENTS.children.add(-1, &[]);
        INSTRUMENTS.memory_now.add(difference(0, self.usage.memory), &[]);
        INSTRUMENTS.memory.record(self.peak_memory, &self.label());
        INSTRUMENTS.frames.add(self.frames, &self.label());
    }
}

/// A stage of a media child, as part of the current span.
fn stage_span(stage: &'static str) -> Span {
    debug_span!("stage", otel.name = stage)
}

fn difference(new: u64, old: u64) -> i64 {
    let signed = |bytes| i64::try_from(bytes).unwrap_or(i64::MAX);
    signed(new).saturating_sub(signed(old))
}

/// A child is not believed: it may report any text.
fn known_stage(stage: &str) -> &'static str {
    const KNOWN: [&str; 5] = ["probing", "encoding", "analyzing", "making thumbnails", "verifying"];
    KNOWN.into_iter().find(|known| *known == stage).unwrap_or("other")
}

/// Records verified outputs and what they took.
pub(crate) fn made(kind: &'static str, outputs: &[OutputFile], spent: &Spent) {
    let media = Duration::from_micros(spent.effort.charged).as_secs_f64();
    let kind = KeyValue::new("kind", kind);
    let codec = KeyValue::new("codec", known_codec(main_codec(outputs, Some(spent))));
    INSTRUMENTS.media.add(media, &[kind.clone(), codec]);
    let labels = [kind];
    let bytes = outputs.iter().map(|output| output.size).sum();
    INSTRUMENTS.output.add(bytes, &labels);
    if spent.seconds > 0.0 && media > 0.0 {
        INSTRUMENTS.speeds.record(media / spent.seconds, &labels);
    }
}

/// A codec's name is the child's, too.
fn known_codec(codec: &str) -> &'static str {
    let video = VideoCodec::of_stream(codec).map(VideoCodec::as_str);
    let audio = || AudioCodec::of_stream(codec).map(AudioCodec::as_str);
    let none = || (codec == "none").then_some("none");
    video.or_else(audio).or_else(none).unwrap_or("other")
}
