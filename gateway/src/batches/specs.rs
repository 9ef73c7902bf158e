use ffapi_domain::{JobId, batch::BatchJob, job::JobSpec};
use uuid::Uuid;

use crate::{
    jobs::spec_size,
    problem::{Kind, Problem},
};

/// Maximum total size in bytes of the specs of one batch. They are stored once in the batch's
/// event, once in each job's own, and again in the read models and the archive.
const MAX_BYTES: usize = 1024 * 1024;

/// The specs of a batch that is being parsed, each with its pointer into the request.
///
/// Measured while they are added, so that a preset or a template cannot expand a short request
/// beyond the maximum.
#[derive(Debug, Default)]
pub(crate) struct Specs {
    jobs: Vec<(String, BatchJob)>,
    bytes: usize,
}

impl Specs {
    /// Adds the spec of a job, and chooses the job's id.
    ///
    /// # Errors
    /// When one spec is too large, or all become larger than [`MAX_BYTES`].
    pub(crate) fn add(&mut self, part: String, spec: JobSpec) -> Result<JobId, Problem> {
        let size = spec_size::check(&spec).map_err(|problem| problem.within(&part))?;
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > MAX_BYTES {
            let detail = format!(
                "the jobs of a batch take up to {MAX_BYTES} bytes together, and of this one job {} \
                 already exceeds that: split it into several batches, or shorten each job's \
                 `metadata`, texts and operations",
                self.jobs.len().saturating_add(1)
            );
            return Err(Problem::new(Kind::TooLarge, detail));
        }
        let id = JobId::from_uuid(Uuid::now_v7());
        self.jobs.push((part, BatchJob { id, spec }));
        Ok(id)
    }

    pub(super) fn jobs(&self) -> &[(String, BatchJob)] {
        &self.jobs
    }

    pub(super) fn jobs_mut(&mut self) -> &mut [(String, BatchJob)] {
        &mut self.jobs
    }

    /// The size of all specs, in bytes.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn into_jobs(self) -> Vec<(String, BatchJob)> {
        self.jobs
    }
}
