//! Which of a job's output files are still its own: a file belongs to the job that completed last.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use ffapi_domain::{
    JobId, Personal, Timestamp,
    job::{Job, JobEvent, JobView},
    location::Location,
    output::{Output, OutputEvent},
};
use ffapi_nats::CodecError;
use sha2::{Digest, Sha256};

use crate::Commands;

/// Jobs that reserved the same output whose histories are read; only the newest ones are.
const MAX_OTHER_JOBS: usize = 100;

/// The id of an output name's aggregate: a hash, because names are private and may hold characters
/// that a subject cannot.
pub fn output_name_id(output: &Location) -> String {
    hex::encode(Sha256::digest(output.to_string()))
}

/// Determines which of a job's output files have been replaced by other jobs since.
#[derive(Debug)]
pub struct LaterOutputs<'a> {
    commands: &'a Commands,
    job: &'a JobView,
    /// Other jobs that reserved the job's output as a whole: a file, or a folder; none until read.
    other_jobs: Option<Vec<JobId>>,
    /// Locations of the outputs of other jobs; empty for those that did not complete later.
    outputs: BTreeMap<JobId, BTreeSet<String>>,
}

impl<'a> LaterOutputs<'a> {
    /// For the outputs of a completed job.
    pub const fn new(commands: &'a Commands, job: &'a JobView) -> Self {
        Self { commands, job, other_jobs: None, outputs: BTreeMap::new() }
    }

    /// True if another job has written this file since, by its own name or within the same folder.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn contains(&mut self, file: &Location) -> Result<bool, CodecError> {
        if self.other_jobs.is_none() {
            let output = self.job.summary.output.as_ref().and_then(Personal::as_ref);
            self.other_jobs = Some(match output {
                Some(output) => self.others(output).await?,
                None => vec![],
            });
        }
        let mut others = self.other_jobs.clone().unwrap_or_default();
        others.extend(self.others(file).await?);
        for other in others {
            if self.outputs_of(other).await?.contains(&file.to_string()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The other jobs that reserved this output, newest first.
    async fn others(&self, output: &Location) -> Result<Vec<JobId>, CodecError> {
        let tenant = self.job.summary.tenant.as_str();
        let history = self.commands.history::<Output>(tenant, &output_name_id(output)).await?;
        let jobs = history.into_iter().rev().flat_map(|(_, decision)| decision.events);
        let jobs = jobs.map(|OutputEvent::Reserved { job, .. }| job);
        Ok(jobs.filter(|job| *job != self.job.summary.id).take(MAX_OTHER_JOBS).collect())
    }

    /// Locations of a job's outputs; empty unless it completed later than `self.job`.
    async fn outputs_of(&mut self, job: JobId) -> Result<&BTreeSet<String>, CodecError> {
        if let Entry::Vacant(entry) = self.outputs.entry(job) {
            let tenant = self.job.summary.tenant.as_str();
            let history = self.commands.history::<Job>(tenant, &job.to_string()).await?;
            let this_job = (self.job.summary.completed_at, self.job.summary.id);
            let is_later = history.iter().any(|(_, decision)| {
                let completed = |event: &JobEvent| matches!(event, JobEvent::Completed { .. });
                decision.events.iter().any(completed)
                    && (Some(Timestamp::from_millis(decision.at)), job) > this_job
            });
            let events = history.iter().flat_map(|(_, decision)| &decision.events);
            let mut sealed = events.filter_map(|event| match event {
                JobEvent::OutputsSealed { outputs, .. } if is_later => Some(outputs),
                _ => None,
            });
            // Outputs sealed earlier were not delivered completely.
            let delivered = sealed.next_back().into_iter().flatten();
            let locations = delivered.filter_map(|file| file.location.as_ref().cloned());
            entry.insert(locations.collect());
        }
        Ok(self.outputs.entry(job).or_default())
    }
}
