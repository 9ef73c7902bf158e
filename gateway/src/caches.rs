use ffapi_domain::{JobId, Tenant, job::JobView, preset::PresetState};
use serde_json::Value;

use crate::{
    output_index::OutputIndex,
    row_cache::{CacheStats, RowCache},
};

/// The caches of a gateway, which the log tail invalidates.
#[derive(Debug)]
pub(crate) struct Caches {
    pub(crate) jobs: RowCache<JobId, JobView>,
    pub(crate) outputs: RowCache<JobId, OutputIndex>,
    /// Presets by owner and name.
    pub(crate) presets: RowCache<(String, String), PresetState>,
    /// Probe results by tenant and SHA-256. The content of a file never changes; the tenant is part
    /// of the key so that response times do not reveal which files other tenants have.
    pub(crate) probes: RowCache<(Tenant, String), Value>,
}

/// Maximum size of the outputs of one job in the cache, in bytes: a job has up to 10,000 of them.
const MAX_OUTPUT_INDEX: usize = 8 * 1024 * 1024;

impl Default for Caches {
    /// Empty; what is read from rows of jobs is not cached before [`Caches::open_jobs`].
    fn default() -> Self {
        Self {
            jobs: RowCache::closed(),
            outputs: RowCache::closed().for_rows_up_to(MAX_OUTPUT_INDEX),
            presets: RowCache::new(),
            probes: RowCache::new(),
        }
    }
}

impl Caches {
    /// From now on, what is read from rows of jobs is cached.
    pub(crate) fn open_jobs(&self) {
        self.jobs.open();
        self.outputs.open();
    }

    pub(crate) fn clear_jobs(&self) {
        self.jobs.clear();
        self.outputs.clear();
    }

    pub(crate) fn clear(&self) {
        self.clear_jobs();
        self.presets.clear();
        self.probes.clear();
    }

    /// What is cached about a job is older than the event at this sequence.
    pub(crate) fn invalidate_job(&self, id: &JobId, sequence: u64) {
        self.jobs.invalidate(id, sequence);
        self.outputs.invalidate(id, sequence);
    }

    /// The statistics of each cache, by name.
    pub(crate) fn stats(&self) -> [(&'static str, CacheStats); 4] {
        [
            ("jobs", self.jobs.stats()),
            ("outputs", self.outputs.stats()),
            ("presets", self.presets.stats()),
            ("probes", self.probes.stats()),
        ]
    }
}
