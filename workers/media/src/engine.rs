//! A media task as a pipeline of threads: demux → decode → filter and encode → mux.

mod analyze;
mod audio_clock;
mod charge;
mod convert;
mod copy;
mod crf_sampling;
mod decode;
mod demux;
mod encoder;
mod filtergraph;
mod filtering;
mod flow;
mod frame_channel;
mod frame_format;
mod frame_seeker;
mod frame_types;
mod hardware_probe;
mod measure;
mod mux;
mod package;
mod packet_channel;
mod packet_span;
mod passes;
mod probe;
mod progress;
mod quality;
mod quality_meter;
mod scan;
mod seek;
mod standing;
mod stream;
mod target;
mod thumbnails;
mod track;

use std::{
    path::Path,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use ffapi_domain::media::{
    Capabilities, Effort, MediaFacts, MediaRequest, Role, Source, footprint_of_frames,
};
use ffmpeg_the_third::{self as ffmpeg, Rational, codec};
use nix::libc;
use serde_json::json;

use self::{
    charge::Meter,
    flow::{Flow, FlowResources},
    scan::ScanLimit,
};
pub(crate) use self::{
    convert::missing_characters,
    demux::{Clock, Reading},
    frame_types::is_frame_type_warning,
    hardware_probe::probe_encoder,
    packet_span::PacketSpan,
};
use crate::{
    MediaError, ffi,
    ffi::Input,
    file::OpenFile,
    heartbeat::Heartbeat,
    open,
    protocol::{ChildMessage, Needs, Permit, PoolAssignment, Report},
};

const MICROS: Rational = Rational(1, 1_000_000);

/// True for `EAGAIN`: the codec or filter needs more input, or its output must be read first.
pub(crate) fn is_eagain(error: ffmpeg::Error) -> bool {
    matches!(error, ffmpeg::Error::Other { errno: libc::EAGAIN })
}

/// The inputs, output and limits of one task.
pub(crate) struct Work<'a> {
    /// The input files and their roles; the job's primary input comes first.
    pub(crate) inputs: &'a [(OpenFile, Role)],
    /// The output path, in a writable folder; the names of all outputs start with its stem.
    pub(crate) output: &'a Path,
    /// The encoders and devices of this machine.
    pub(crate) capabilities: &'a Capabilities,
    /// The pool and hardware that this task is assigned to.
    pub(crate) place: PoolAssignment,
    /// The memory limit of the job in bytes; `None` if it is unlimited.
    pub(crate) memory: Option<u64>,
    /// Sends a message (progress, facts, log) to the worker; called from any thread.
    pub(crate) say: &'a (dyn Fn(ChildMessage) + Sync),
    /// Requests a permit for what the task needs, before it starts and before it uses more.
    pub(crate) permit: &'a (dyn Fn(Needs) -> Result<Permit, MediaError> + Sync),
}

impl Work<'_> {
    /// Fails, before anything is decoded, if the task needs more than the memory limit. `required`
    /// is in bytes.
    fn check_memory(&self, required: u64) -> Result<(), MediaError> {
        const MIB: u64 = 1024 * 1024;
        let Some(memory) = self.memory.filter(|memory| required > *memory) else { return Ok(()) };
        Err(MediaError::new(
            ffapi_domain::job::FailureCode::Unsupported,
            format!(
                "the job needs at least {} MiB of memory for its frames, but a job may use {} MiB \
                 on this machine; use a smaller input or output, or a faster `preset`",
                required / MIB,
                memory / MIB
            ),
        ))
    }

    /// The job's primary input.
    fn primary_input(&self) -> Result<&(OpenFile, Role), MediaError> {
        self.inputs.first().ok_or_else(|| MediaError::internal("the inputs", "are missing"))
    }
}

/// Logs the notes of a plan (decisions that the request did not specify); returns them as the start
/// of the job's result.
fn log_notes(notes: &[String], say: &(dyn Fn(ChildMessage) + Sync)) -> Option<serde_json::Value> {
    for note in notes {
        say(ChildMessage::Log { level: "info".to_owned(), line: note.clone() });
    }
    (!notes.is_empty()).then(|| json!({ "notes": notes }))
}

/// The facts of the job's primary input.
fn primary_facts(facts: &[MediaFacts]) -> Result<&MediaFacts, MediaError> {
    facts.first().ok_or_else(|| MediaError::internal("the inputs", "are missing"))
}

/// The error for a request that cannot be planned: the code is `Unsupported`.
fn plan_rejected(rejection: ffapi_domain::media::PlanRejection) -> MediaError {
    let code = ffapi_domain::job::FailureCode::Unsupported;
    MediaError::new(code, format!("{}: {}", rejection.pointer, rejection.detail))
}

/// How long the packets of an input are read for a dry run: a request waits for it.
const MAX_SCAN_OF_DRY_RUN: Duration = Duration::from_secs(2);

/// A dry run: returns the plan that `run` would follow, with its effort.
pub(crate) fn dry_run_plan(
    request: &MediaRequest,
    work: &Work<'_>,
) -> Result<serde_json::Value, MediaError> {
    let heartbeat = Heartbeat::new(work.say);
    let context = TaskContext {
        scan: ScanLimit::Time(MAX_SCAN_OF_DRY_RUN),
        ..TaskContext::new(work, &heartbeat)
    };
    let facts = context.facts()?;
    let primary = primary_facts(&facts)?;
    let mut answer = match request {
        MediaRequest::Convert(convert) => {
            let plan = convert::resolve_plan(convert, &facts, work)?;
            let effort = Effort::of_plan(&plan, facts.first());
            json!({ "passes": passes::count(&plan), "effort": effort, "plan": plan })
        }
        MediaRequest::Stream(stream) => {
            let plan = stream::resolve_plan(stream, &context, &facts, work)?;
            json!({ "effort": Effort::of_stream(&plan, facts.first()), "plan": plan })
        }
        MediaRequest::Thumbnails(thumbnails) => {
            work.check_memory(footprint_of_frames(&facts))?;
            let plan = thumbnails.plan(primary.duration).map_err(plan_rejected)?;
            json!({ "effort": Effort::of_thumbnails(thumbnails, &plan), "plan": plan })
        }
        MediaRequest::Analyze(analyze) => {
            work.check_memory(footprint_of_frames(&facts))?;
            analyze.fits(primary).map_err(plan_rejected)?;
            let effort = Effort::of_analysis(analyze, primary);
            json!({ "effort": effort, "plan": { "metrics": analyze.metrics } })
        }
        MediaRequest::Probe(_) => json!({ "effort": Effort::of_probe(), "plan": {} }),
    };
    if let Some(fields) = answer.as_object_mut() {
        fields.insert("pool".to_owned(), json!(work.place.pool));
    }
    Ok(answer)
}

/// Runs a job's media work and verifies its outputs.
pub(crate) fn run(request: &MediaRequest, work: &Work<'_>) -> Result<Report, MediaError> {
    match request {
        MediaRequest::Convert(convert) => convert::convert(convert, work),
        MediaRequest::Probe(_) => probe::probe(work),
        MediaRequest::Analyze(analyze) => analyze::analyze(analyze, work),
        MediaRequest::Thumbnails(thumbnails) => thumbnails::thumbnails(thumbnails, work),
        MediaRequest::Stream(stream) => stream::stream(stream, work),
    }
}

/// What all passes over the inputs share.
struct TaskContext<'a> {
    /// The input files and their roles; the job's primary input comes first.
    inputs: &'a [(OpenFile, Role)],
    scratch: &'a Path,
    heartbeat: &'a Heartbeat<'a>,
    /// Threads of each codec; 0 lets the codec choose.
    threads: u16,
    /// How much of the inputs is read to complete their facts.
    scan: ScanLimit,
    /// Counts the media time that is read; present once a permit was granted.
    meter: Option<Meter<'a>>,
    /// Inputs that are open and not read yet, kept for the first pass: probing an input takes as
    /// long as decoding a few frames.
    opened: Mutex<Option<Vec<Input>>>,
}

impl<'a> TaskContext<'a> {
    /// A context for probing and planning; to produce output it needs a permit.
    fn new(work: &Work<'a>, heartbeat: &'a Heartbeat<'a>) -> Self {
        let opened = Mutex::new(None);
        let (inputs, scratch) = (work.inputs, passes::scratch());
        let scan = ScanLimit::Whole;
        Self { inputs, scratch, heartbeat, threads: 0, scan, meter: None, opened }
    }

    /// Adds the permit to start, and the meter that charges what is read.
    fn permitted(self, permit: Permit, meter: Meter<'a>) -> Self {
        Self { threads: permit.threads, meter: Some(meter), ..self }
    }

    /// Opens and probes every input.
    fn facts(&self) -> Result<Vec<MediaFacts>, MediaError> {
        let probed = self.inputs.iter().enumerate().map(|(number, (file, role))| {
            match role {
                Role::Media => scan::probe(file, self.scan, self.heartbeat),
                Role::Image | Role::Subtitle => {
                    open::open(file, *role).map(|input| (crate::probe::probe(&input), input))
                }
            }
            .map_err(|error| self.with_input_name(number, error))
        });
        let probed: Result<Vec<_>, _> = probed.collect();
        let (facts, inputs) = probed?.into_iter().unzip();
        *self.opened.lock().unwrap_or_else(PoisonError::into_inner) = Some(inputs);
        Ok(facts)
    }

    /// The file and role of an input.
    fn input(&self, number: usize) -> Result<&(OpenFile, Role), MediaError> {
        let input = self.inputs.get(number);
        input.ok_or_else(|| MediaError::internal("the plan", "has no such input"))
    }

    /// A pipeline over all inputs, from their start.
    fn flow<'env>(&'env self, facts: &'env [MediaFacts]) -> Result<Flow<'env>, MediaError>
    where
        'a: 'env,
    {
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner).take();
        let inputs = opened.map_or_else(|| self.open(), Ok)?;
        Ok(Flow::new(
            inputs,
            facts,
            self.heartbeat,
            FlowResources { threads: self.threads, meter: self.meter.as_ref() },
        ))
    }

    fn open(&self) -> Result<Vec<Input>, MediaError> {
        let inputs = self.inputs.iter().enumerate().map(|(number, (file, role))| {
            open::open(file, *role).map_err(|error| self.with_input_name(number, error))
        });
        inputs.collect()
    }

    /// Adds role and number to an error, unless it is about the primary input.
    fn with_input_name(&self, number: usize, error: MediaError) -> MediaError {
        match self.inputs.get(number) {
            Some((_, role)) if number > 0 => {
                MediaError::new(error.code, format!("{role:?} {number}: {}", error.message))
            }
            _ => error,
        }
    }
}

/// The codec parameters that the container states for a stream.
fn stream_parameters(flow: &Flow<'_>, source: Source) -> Result<codec::Parameters, MediaError> {
    let missing = |error: ffmpeg::Error| MediaError::internal("the plan's stream", error);
    let index = usize::try_from(source.stream).unwrap_or(usize::MAX);
    let stream = flow.input(source.input)?.context.stream(index);
    let stream = stream.ok_or_else(|| missing(ffmpeg::Error::StreamNotFound))?;
    ffi::copy_parameters(&stream).map_err(missing)
}
