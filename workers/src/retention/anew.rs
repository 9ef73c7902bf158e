use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use ffapi_commands::Commands;
use ffapi_domain::{
    JobId, Personal, Timestamp,
    job::{Job, JobEvent, JobView},
    location::Location,
    output::{Output, OutputEvent},
};
use sha2::{Digest, Sha256};

use super::RetentionError;

/// Jobs that reserved one output and are asked what they made, at most: the newest.
const MOST: usize = 100;

/// Which files other jobs have made since in the place of one's outputs: whoever completed last has them.
pub(super) struct MadeAnew<'a> {
    commands: &'a Commands,
    job: &'a JobView,
    /// The others that reserved all that it made: a file, or the folder of them.
    holders: Option<Vec<JobId>>,
    /// What others made that completed later.
    made: BTreeMap<JobId, BTreeSet<String>>,
}

impl<'a> MadeAnew<'a> {
    pub(super) const fn new(commands: &'a Commands, job: &'a JobView) -> Self {
        Self { commands, job, holders: None, made: BTreeMap::new() }
    }

    /// True if another job has made this file since, by its own name or within the same folder.
    pub(super) async fn has(&mut self, file: &Location) -> Result<bool, RetentionError> {
        if self.holders.is_none() {
            let output = self.job.summary.output.as_ref().and_then(Personal::as_ref);
            self.holders = Some(match output {
                Some(output) => self.others(output).await?,
                None => vec![],
            });
        }
        let mut others = self.holders.clone().unwrap_or_default();
        others.extend(self.others(file).await?);
        for other in others {
            if self.made_by(other).await?.contains(&file.to_string()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The other jobs that reserved this output, the newest first.
    async fn others(&self, output: &Location) -> Result<Vec<JobId>, RetentionError> {
        let hash = hex::encode(Sha256::digest(output.to_string()));
        let tenant = self.job.summary.tenant.as_str();
        let history = self.commands.history::<Output>(tenant, &hash).await?;
        let holders = history.into_iter().rev().flat_map(|(_, decision)| decision.events);
        let holders = holders.map(|OutputEvent::Reserved { job }| job);
        Ok(holders.filter(|job| *job != self.job.summary.id).take(MOST).collect())
    }

    /// What a job has made; nothing unless it completed later.
    async fn made_by(&mut self, job: JobId) -> Result<&BTreeSet<String>, RetentionError> {
        if let Entry::Vacant(entry) = self.made.entry(job) {
            let tenant = self.job.summary.tenant.as_str();
            let history = self.commands.history::<Job>(tenant, &job.to_string()).await?;
            let than = (self.job.summary.completed_at, self.job.summary.id);
            let later = history.iter().any(|(_, decision)| {
                let completed = |event: &JobEvent| matches!(event, JobEvent::Completed { .. });
                decision.events.iter().any(completed)
                    && (Some(Timestamp::from_millis(decision.at)), job) > than
            });
            let events = history.iter().flat_map(|(_, decision)| &decision.events);
            let mut sealed = events.filter_map(|event| match event {
                JobEvent::OutputsSealed { outputs, .. } if later => Some(outputs),
                _ => None,
            });
            // Of those that were sealed before, nothing was delivered to its end.
            let delivered = sealed.next_back().into_iter().flatten();
            let locations = delivered.filter_map(|file| file.location.as_ref().cloned());
            entry.insert(locations.collect());
        }
        Ok(self.made.entry(job).or_default())
    }
}
