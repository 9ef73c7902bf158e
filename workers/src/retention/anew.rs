use std::collections::{BTreeMap, BTreeSet};

use commands::Commands;
use domain::{
    JobId, Personal, Tenant,
    job::{Job, JobEvent, JobView},
    location::Location,
    output::{Output, OutputEvent},
};
use sha2::{Digest, Sha256};

use super::RetentionError;

/// Which files other jobs have made since in the place of one's outputs.
pub(super) struct MadeAnew<'a> {
    commands: &'a Commands,
    tenant: &'a Tenant,
    job: JobId,
    /// All that it made: a file, or the folder of them.
    output: Option<&'a Location>,
    /// What others made that are done.
    made: BTreeMap<JobId, BTreeSet<String>>,
}

impl<'a> MadeAnew<'a> {
    pub(super) fn new(commands: &'a Commands, job: &'a JobView) -> Self {
        let output = job.summary.output.as_ref().and_then(Personal::as_ref);
        let (tenant, job) = (&job.summary.tenant, job.summary.id);
        Self { commands, tenant, job, output, made: BTreeMap::new() }
    }

    /// True if another job has made this file since, by its own name or within the same folder.
    pub(super) async fn has(&mut self, file: &Location) -> Result<bool, RetentionError> {
        for output in self.output.into_iter().chain([file]) {
            for later in self.later(output).await? {
                if self.made_by(later).await?.contains(&file.to_string()) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// The jobs that reserved this output after it, the newest first.
    async fn later(&self, output: &Location) -> Result<Vec<JobId>, RetentionError> {
        let hash = hex::encode(Sha256::digest(output.to_string()));
        let history = self.commands.history::<Output>(self.tenant.as_str(), &hash).await?;
        let holders = history.into_iter().rev().flat_map(|(_, decision)| decision.events);
        let holders = holders.map(|OutputEvent::Reserved { job }| job);
        // A file of its folder may have been another's output before: newer jobs have greater ids.
        Ok(holders.take_while(|job| *job != self.job).filter(|job| *job > self.job).collect())
    }

    /// What a job has made; nothing unless it is completed.
    async fn made_by(&mut self, job: JobId) -> Result<&BTreeSet<String>, RetentionError> {
        if self.made.get(&job).is_none_or(BTreeSet::is_empty) {
            let history =
                self.commands.history::<Job>(self.tenant.as_str(), &job.to_string()).await?;
            let events = || history.iter().flat_map(|(_, decision)| &decision.events);
            let completed = events().any(|event| matches!(event, JobEvent::Completed { .. }));
            let sealed = events().filter_map(|event| match event {
                JobEvent::OutputsSealed { outputs, .. } if completed => Some(outputs),
                _ => None,
            });
            let locations = sealed.flatten().filter_map(|file| file.location.as_ref().cloned());
            self.made.insert(job, locations.collect());
        }
        Ok(self.made.entry(job).or_default())
    }
}
