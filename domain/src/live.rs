//! What is reported while it lasts, and not stored: the progress of jobs and the heartbeats of workers.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    JobId,
    media::{Capabilities, Pool},
};

/// How far a running attempt of a job is: the data of a `job.progress` event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobProgress {
    /// The job.
    pub job_id: JobId,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// The name of the current stage, for people.
    pub stage: String,
    /// Percent, 0 to 100; none if the input does not state its duration.
    pub progress: Option<f64>,
    /// Frames written.
    pub frames: u64,
    /// Frames per second of wall-clock time.
    pub fps: f64,
    /// Media seconds per second of wall-clock time.
    pub speed: f64,
    /// Seconds that it will still take; none if that is not known.
    pub eta_seconds: Option<f64>,
    /// Percent of each output, if there are several.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, f64>,
}

impl JobProgress {
    /// True if it was not reported before the other one, of the same job: progress never decreases within
    /// one attempt.
    pub fn is_at_least(&self, other: &Self) -> bool {
        let rank = |it: &Self| (it.attempt, it.progress.unwrap_or(0.0));
        rank(self) >= rank(other)
    }
}

/// The heartbeat of a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerHeartbeat {
    /// The worker's identifier, new at every start.
    pub worker: String,
    /// The machine's host name.
    pub host: String,
    /// Number of concurrent tasks (slots) per pool.
    pub pools: BTreeMap<Pool, usize>,
    /// `job_….attempt` of each task that it runs now.
    pub running: Vec<String>,
    /// Encoders and devices that were verified at start.
    pub capabilities: Capabilities,
    /// The sandbox that its media children run in.
    pub sandbox: String,
    /// True once it accepts no more tasks.
    #[serde(default)]
    pub leaving: bool,
    /// Dead workers of the same folder that it found at start: their locks were free.
    #[serde(default)]
    pub buried: Vec<String>,
}

/// How often a worker publishes its heartbeat.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(2);
/// A worker without a heartbeat for this long is considered gone.
pub const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(6);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_never_decreases_within_an_attempt() {
        let progress = |attempt, progress| JobProgress {
            job_id: JobId::from_uuid(uuid::Uuid::from_u128(7)),
            attempt,
            stage: String::new(),
            progress,
            frames: 0,
            fps: 0.0,
            speed: 0.0,
            eta_seconds: None,
            outputs: BTreeMap::new(),
        };
        let known = progress(2, Some(40.0));
        for (attempt, percent, expected) in [
            (2, Some(40.0), true),
            (2, Some(39.0), false),
            (2, None, false),
            (1, Some(90.0), false),
            (3, None, true),
        ] {
            assert_eq!(progress(attempt, percent).is_at_least(&known), expected, "{percent:?}");
        }
    }
}
