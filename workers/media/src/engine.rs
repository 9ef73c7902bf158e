//! A media task as a pipeline of threads: demux → decode → filter and encode → mux.

mod analyze;
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
mod passes;
mod probe;
mod progress;
mod quality;
mod quality_meter;
mod stream;
mod target;
mod thumbnails;
mod track;
mod weighed;

use std::{
    path::Path,
    sync::{Mutex, PoisonError},
};

use ffapi_domain::media::{
    Capabilities, Effort, MediaFacts, MediaRequest, Role, Source, footprint_of_frames,
};
use ffmpeg_the_third::{self as ffmpeg, Rational, codec};
use nix::libc;
use serde_json::json;

use self::{
    charge::Meter,
    flow::{Flow, Means},
};
pub(crate) use self::{
    demux::{Clock, Reading},
    frame_types::is_of_a_hint,
    hardware_probe::probe_encoder,
};
use crate::{
    MediaError, ffi,
    ffi::Input,
    file::OpenFile,
    heartbeat::Heartbeat,
    open,
    protocol::{ChildMessage, Needs, Permit, Place, Report},
};

const MICROS: Rational = Rational(1, 1_000_000);

/// True for "not now": feed more, or take more out.
pub(crate) fn again(error: ffmpeg::Error) -> bool {
    matches!(error, ffmpeg::Error::Other { errno: libc::EAGAIN })
}

/// What one task works on.
pub(crate) struct Work<'a> {
    /// The job's own input first.
    pub(crate) inputs: &'a [(OpenFile, Role)],
    /// In a folder that may be written; what every output's name begins with.
    pub(crate) output: &'a Path,
    /// What this machine can do.
    pub(crate) capabilities: &'a Capabilities,
    /// What this task runs on.
    pub(crate) place: Place,
    /// Bytes of memory that the job may have, if that is limited.
    pub(crate) memory: Option<u64>,
    /// Told how far it is, from any thread.
    pub(crate) say: &'a (dyn Fn(ChildMessage) + Sync),
    /// Asked for leave, with what is needed, before anything is made and before more is.
    pub(crate) permit: &'a (dyn Fn(Needs) -> Result<Permit, MediaError> + Sync),
}

impl Work<'_> {
    /// Refuses, before anything is decoded, what cannot be done within the memory that there is.
    fn holds(&self, least: u64) -> Result<(), MediaError> {
        const MIB: u64 = 1024 * 1024;
        let Some(memory) = self.memory.filter(|memory| least > *memory) else { return Ok(()) };
        Err(MediaError::new(
            ffapi_domain::job::FailureCode::Unsupported,
            format!(
                "the job needs at least {} MiB of memory for its frames, and a job may have {} MiB on \
                 this machine; a smaller input or output, or a faster `preset`, takes less",
                least / MIB,
                memory / MIB
            ),
        ))
    }

    /// The job's own input.
    fn first(&self) -> Result<&(OpenFile, Role), MediaError> {
        self.inputs.first().ok_or_else(|| MediaError::internal("the inputs", "are none"))
    }
}

/// What was decided that nobody asked for: in the job's log, and in its result.
fn noted(notes: &[String], say: &(dyn Fn(ChildMessage) + Sync)) -> Option<serde_json::Value> {
    for note in notes {
        say(ChildMessage::Log { level: "info".to_owned(), line: note.clone() });
    }
    (!notes.is_empty()).then(|| json!({ "notes": notes }))
}

/// What the job's own input is.
fn own(facts: &[MediaFacts]) -> Result<&MediaFacts, MediaError> {
    facts.first().ok_or_else(|| MediaError::internal("the inputs", "are none"))
}

/// A plan that cannot be made is the request's fault.
fn refused(refusal: ffapi_domain::media::PlanRejection) -> MediaError {
    let code = ffapi_domain::job::FailureCode::Unsupported;
    MediaError::new(code, format!("{}: {}", refusal.pointer, refusal.detail))
}

/// What a job's media work would be: the plan that `run` would follow.
pub(crate) fn would_do(
    request: &MediaRequest,
    work: &Work<'_>,
) -> Result<serde_json::Value, MediaError> {
    let heartbeat = Heartbeat::new(work.say);
    let context = TaskContext::new(work, &heartbeat);
    let facts = context.facts()?;
    let own = own(&facts)?;
    let mut told = match request {
        MediaRequest::Convert(convert) => {
            let plan = convert::planned(convert, &facts, work)?;
            let effort = Effort::of_plan(&plan, facts.first());
            json!({ "passes": passes::count(&plan), "effort": effort, "plan": plan })
        }
        MediaRequest::Stream(stream) => {
            let plan = stream::planned(stream, &context, &facts, work)?;
            json!({ "effort": Effort::of_stream(&plan, facts.first()), "plan": plan })
        }
        MediaRequest::Thumbnails(thumbnails) => {
            work.holds(footprint_of_frames(&facts))?;
            let plan = thumbnails.plan(own.duration).map_err(refused)?;
            json!({ "effort": Effort::of_thumbnails(thumbnails, &plan), "plan": plan })
        }
        MediaRequest::Analyze(analyze) => {
            work.holds(footprint_of_frames(&facts))?;
            analyze.fits(own).map_err(refused)?;
            let effort = Effort::of_analysis(analyze, own);
            json!({ "effort": effort, "plan": { "metrics": analyze.metrics } })
        }
        MediaRequest::Probe(_) => json!({ "effort": Effort::of_probe(), "plan": {} }),
    };
    if let Some(told) = told.as_object_mut() {
        told.insert("pool".to_owned(), json!(work.place.pool));
    }
    Ok(told)
}

/// Does a job's media work, and verifies what it made.
pub(crate) fn run(request: &MediaRequest, work: &Work<'_>) -> Result<Report, MediaError> {
    match request {
        MediaRequest::Convert(convert) => convert::convert(convert, work),
        MediaRequest::Probe(_) => probe::probe(work),
        MediaRequest::Analyze(analyze) => analyze::analyze(analyze, work),
        MediaRequest::Thumbnails(thumbnails) => thumbnails::thumbnails(thumbnails, work),
        MediaRequest::Stream(stream) => stream::stream(stream, work),
    }
}

/// What every pass over the inputs shares.
struct TaskContext<'a> {
    /// The job's own input first.
    inputs: &'a [(OpenFile, Role)],
    scratch: &'a Path,
    heartbeat: &'a Heartbeat<'a>,
    /// Of each codec; 0 lets it choose.
    threads: u16,
    /// What is read counts against it, once there is leave.
    meter: Option<Meter<'a>>,
    /// Inputs that were opened and of which nothing is read: to look into one takes as long as to
    /// decode some pictures.
    opened: Mutex<Option<Vec<Input>>>,
}

impl<'a> TaskContext<'a> {
    /// For a look; what is made has a permit.
    fn new(work: &Work<'a>, heartbeat: &'a Heartbeat<'a>) -> Self {
        let opened = Mutex::new(None);
        let (inputs, scratch) = (work.inputs, passes::scratch());
        Self { inputs, scratch, heartbeat, threads: 0, meter: None, opened }
    }

    /// With leave to begin.
    fn permitted(self, permit: Permit, meter: Meter<'a>) -> Self {
        Self { threads: permit.threads, meter: Some(meter), ..self }
    }

    /// Opens every input and says what they are.
    fn facts(&self) -> Result<Vec<MediaFacts>, MediaError> {
        let inputs = self.open()?;
        let facts =
            inputs.iter().zip(self.inputs).enumerate().map(|(number, (input, (_, role)))| {
                match role {
                    Role::Media => crate::probe::probe_media(input),
                    Role::Image | Role::Subtitle => crate::probe::probe(input),
                }
                .map_err(|error| self.named(number, error))
            });
        let facts = facts.collect::<Result<_, _>>()?;
        *self.opened.lock().unwrap_or_else(PoisonError::into_inner) = Some(inputs);
        Ok(facts)
    }

    /// A pipeline over every input, from its beginning.
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
            Means { threads: self.threads, meter: self.meter.as_ref() },
        ))
    }

    fn open(&self) -> Result<Vec<Input>, MediaError> {
        let inputs = self.inputs.iter().enumerate().map(|(number, (file, role))| {
            open::open(file, *role).map_err(|error| self.named(number, error))
        });
        inputs.collect()
    }

    /// What is wrong with an input that an operation names says so.
    fn named(&self, number: usize, error: MediaError) -> MediaError {
        match self.inputs.get(number) {
            Some((_, role)) if number > 0 => {
                MediaError::new(error.code, format!("{role:?} {number}: {}", error.message))
            }
            _ => error,
        }
    }
}

/// What a container says of a stream.
fn parameters(flow: &Flow<'_>, source: Source) -> Result<codec::Parameters, MediaError> {
    let missing = |error: ffmpeg::Error| MediaError::internal("the plan's stream", error);
    let index = usize::try_from(source.stream).unwrap_or(usize::MAX);
    let stream = flow.input(source.input)?.context.stream(index);
    let stream = stream.ok_or_else(|| missing(ffmpeg::Error::StreamNotFound))?;
    ffi::own_parameters(&stream).map_err(missing)
}
