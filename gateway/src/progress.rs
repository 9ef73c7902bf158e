use std::{
    num::NonZeroUsize,
    sync::{Mutex, PoisonError},
};

use lru::LruCache;
use serde_json::Value;

/// The newest progress of each job, as reported by its worker.
#[derive(Debug)]
pub(crate) struct ProgressBoard {
    newest: Mutex<LruCache<String, Value>>,
}

/// More jobs than a cluster runs at once. Entries do not expire by age, because a worker may have
/// nothing new to report for a long time.
const MAX_JOBS: NonZeroUsize = NonZeroUsize::new(100_000).unwrap();

impl Default for ProgressBoard {
    fn default() -> Self {
        Self { newest: Mutex::new(LruCache::sparse(MAX_JOBS)) }
    }
}

impl ProgressBoard {
    /// Processes a progress event; progress never decreases within one attempt.
    pub(crate) fn receive(&self, payload: &[u8]) {
        let Ok(mut event) = serde_json::from_slice::<Value>(payload) else { return };
        let Some(data) = event.get_mut("data").map(Value::take) else { return };
        let Some(job) = data.get("job_id").and_then(Value::as_str).map(str::to_owned) else {
            return;
        };
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let rank = |data: &Value| {
            let number = |name: &str| data.get(name).and_then(Value::as_f64).unwrap_or(0.0);
            (number("attempt"), number("progress"))
        };
        if newest.peek(&job).is_none_or(|known| rank(known) <= rank(&data)) {
            newest.put(job, data);
        }
    }

    /// The newest progress of this attempt.
    pub(crate) fn of(&self, job: &str, attempt: u32) -> Option<Value> {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let data = newest.peek(job)?;
        let same = data.get("attempt").and_then(Value::as_u64) == Some(u64::from(attempt));
        same.then(|| data.clone())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_progress_of_an_attempt_never_decreases() {
        let board = ProgressBoard::default();
        let receive = |attempt: u32, progress: f64| {
            let data = json!({ "job_id": "j", "attempt": attempt, "progress": progress });
            board.receive(json!({ "data": data }).to_string().as_bytes());
        };
        let newest = |attempt| board.of("j", attempt).map(|data| data["progress"].clone());
        receive(1, 40.0);
        receive(1, 30.0);
        assert_eq!(newest(1), Some(json!(40.0)));
        receive(2, 5.0);
        receive(1, 50.0);
        assert_eq!((newest(1), newest(2)), (None, Some(json!(5.0))));
    }
}
