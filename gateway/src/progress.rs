use std::{
    num::NonZeroUsize,
    sync::{Mutex, PoisonError},
};

use ffapi_domain::{JobId, live::JobProgress};
use lru::LruCache;
use serde::Deserialize;

/// The newest progress of each job, as reported by its worker.
#[derive(Debug)]
pub(crate) struct ProgressBoard {
    newest: Mutex<LruCache<JobId, JobProgress>>,
}

/// More jobs than a cluster runs at once. Entries do not expire by age, because a worker may have
/// nothing new to report for a long time.
const MAX_JOBS: NonZeroUsize = NonZeroUsize::new(100_000).unwrap();

impl Default for ProgressBoard {
    fn default() -> Self {
        Self { newest: Mutex::new(LruCache::sparse(MAX_JOBS)) }
    }
}

/// The progress in the body of a `job.progress` event; none if it is malformed.
pub(crate) fn parse(body: &[u8]) -> Option<JobProgress> {
    #[derive(Deserialize)]
    struct Event {
        data: JobProgress,
    }
    serde_json::from_slice(body).ok().map(|Event { data }| data)
}

impl ProgressBoard {
    /// Records progress, unless a newer one is known.
    pub(crate) fn receive(&self, progress: &JobProgress) {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if newest.peek(&progress.job_id).is_none_or(|known| progress.is_at_least(known)) {
            newest.put(progress.job_id, progress.clone());
        }
    }

    /// The newest progress of this attempt.
    pub(crate) fn of(&self, job: JobId, attempt: u32) -> Option<JobProgress> {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        newest.peek(&job).filter(|progress| progress.attempt == attempt).cloned()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_newest_progress_of_the_current_attempt_is_shown() {
        let board = ProgressBoard::default();
        let job = JobId::from_uuid(uuid::Uuid::from_u128(7));
        let receive = |attempt: u32, progress: Option<f64>| {
            let data = json!({ "job_id": job, "attempt": attempt, "stage": "encoding", "frames": 1,
                "progress": progress, "fps": 1.0, "speed": 1.0, "eta_seconds": null });
            board.receive(&parse(json!({ "data": data }).to_string().as_bytes()).unwrap());
        };
        let newest = |attempt| board.of(job, attempt).map(|known| known.progress);
        receive(1, Some(40.0));
        receive(1, Some(30.0));
        assert_eq!(newest(1), Some(Some(40.0)));
        receive(2, Some(5.0));
        receive(1, Some(50.0));
        assert_eq!((newest(1), newest(2)), (None, Some(Some(5.0))));
        assert!(parse(b"{}").is_none());
    }
}
