use std::{
    path::Path,
    sync::{Mutex, PoisonError},
};

use ffapi_domain::media::{MediaFacts, Role};

use super::{
    charge::Meter,
    flow::{Flow, FlowResources},
    scan::{self, ScanLimit},
    work::Work,
};
use crate::{
    MediaError, ffi::Input, file::OpenFile, heartbeat::Heartbeat, open, probe, protocol::Permit,
};

/// The folder for scratch files, relative to the slot.
const SCRATCH_FOLDER: &str = "out/.scratch";

/// The facts of the job's primary input.
pub(crate) fn primary_facts(facts: &[MediaFacts]) -> Result<&MediaFacts, MediaError> {
    facts.first().ok_or_else(|| MediaError::internal("the inputs", "are missing"))
}

/// What all passes over the inputs share.
pub(crate) struct TaskContext<'a> {
    /// The input files and their roles; the job's primary input comes first.
    pub(crate) inputs: &'a [(OpenFile, Role)],
    pub(crate) scratch: &'a Path,
    pub(crate) heartbeat: &'a Heartbeat<'a>,
    /// Threads of each codec; 0 lets the codec choose.
    pub(crate) threads: u16,
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
    pub(crate) fn new(work: &Work<'a>, heartbeat: &'a Heartbeat<'a>) -> Self {
        let opened = Mutex::new(None);
        let (inputs, scratch) = (work.inputs, Path::new(SCRATCH_FOLDER));
        let scan = ScanLimit::Whole;
        Self { inputs, scratch, heartbeat, threads: 0, scan, meter: None, opened }
    }

    /// The same, with a limit to what is read to complete the facts of the inputs.
    pub(crate) fn limited(self, scan: ScanLimit) -> Self {
        Self { scan, ..self }
    }

    /// Adds the permit to start, and the meter that charges what is read.
    pub(crate) fn permitted(self, permit: Permit, meter: Meter<'a>) -> Self {
        Self { threads: permit.threads, meter: Some(meter), ..self }
    }

    /// Opens and probes every input.
    pub(crate) fn facts(&self) -> Result<Vec<MediaFacts>, MediaError> {
        let probed = self.inputs.iter().enumerate().map(|(number, (file, role))| {
            match role {
                Role::Media => scan::probe(file, self.scan, self.heartbeat),
                Role::Image | Role::Subtitle => {
                    open::open(file, *role).map(|input| (probe::probe(&input), input))
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
    pub(crate) fn input(&self, number: usize) -> Result<&(OpenFile, Role), MediaError> {
        let input = self.inputs.get(number);
        input.ok_or_else(|| MediaError::internal("the plan", "has no such input"))
    }

    /// A pipeline over all inputs, from their start.
    pub(crate) fn flow<'env>(
        &'env self,
        facts: &'env [MediaFacts],
    ) -> Result<Flow<'env>, MediaError>
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
