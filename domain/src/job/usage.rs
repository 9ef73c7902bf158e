use serde::{Deserialize, Serialize};

use crate::{
    media::{Micros, Spent},
    quota::minutes,
};

/// What the attempt that made a job's outputs used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobUsage {
    /// Media time that is charged.
    pub media: Micros,
    /// Wall time of the media work, in seconds.
    pub seconds: f64,
    /// CPU time of the media work over all threads, in seconds; not recorded by early versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_seconds: Option<f64>,
    /// Total size of the outputs in bytes.
    pub bytes: u64,
}

impl JobUsage {
    /// The usage that was measured; none if it is impossible.
    pub fn of(spent: &Spent) -> Option<Self> {
        let Spent { effort, seconds, bytes, cpu_seconds } = spent;
        spent.is_plausible().then_some(Self {
            media: effort.charged,
            seconds: *seconds,
            cpu_seconds: *cpu_seconds,
            bytes: *bytes,
        })
    }

    /// The charged media time in minutes, to a thousandth.
    pub fn media_minutes(&self) -> f64 {
        (minutes(self.media) * 1_000.0).round() / 1_000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_the_same_after_it_was_stored_as_json() {
        // The nearest float to 1.843143804 is another one.
        let usage =
            JobUsage { media: 0, seconds: 1.843_143_803_999_999_9, cpu_seconds: None, bytes: 0 };
        let stored = serde_json::to_string(&usage).unwrap();
        assert_eq!(serde_json::from_str::<JobUsage>(&stored).unwrap(), usage);
    }
}
