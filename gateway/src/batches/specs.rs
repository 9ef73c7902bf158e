use ffapi_domain::job::JobSpec;

use crate::problem::{Kind, Problem};

/// Bytes of the specs of one batch together, as they are written down: once in the batch's event, once in
/// each job's own, and as often in the read models and the archive.
const MAX_BYTES: usize = 1024 * 1024;

/// The jobs of a batch that is being read, each with where it stands in the request.
///
/// Measured while they are added, so that a short request never expands, by a preset or a template, to
/// more than a batch may have.
#[derive(Debug, Default)]
pub(crate) struct Specs {
    jobs: Vec<(String, JobSpec)>,
    bytes: usize,
}

impl Specs {
    /// Adds a job.
    ///
    /// # Errors
    /// When the batch has more bytes with it than a batch may have.
    pub(crate) fn add(&mut self, part: String, spec: JobSpec) -> Result<(), Problem> {
        let size = serde_json::to_vec(&spec).map_or(usize::MAX, |text| text.len());
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > MAX_BYTES {
            let detail = format!(
                "the jobs of a batch take up to {MAX_BYTES} bytes together, and of this one job {} \
                 already exceeds that: make several batches, or say less in each job's `metadata`, \
                 texts and operations",
                self.jobs.len().saturating_add(1)
            );
            return Err(Problem::new(Kind::TooLarge, detail));
        }
        self.jobs.push((part, spec));
        Ok(())
    }

    pub(super) fn jobs(&self) -> &[(String, JobSpec)] {
        &self.jobs
    }

    pub(super) fn into_jobs(self) -> Vec<(String, JobSpec)> {
        self.jobs
    }
}
