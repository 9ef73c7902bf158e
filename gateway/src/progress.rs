use std::{
    num::NonZeroUsize,
    sync::{Mutex, PoisonError},
};

use lru::LruCache;
use serde_json::Value;

/// The newest progress of each job, as its worker tells it.
#[derive(Debug)]
pub(crate) struct ProgressBoard {
    newest: Mutex<LruCache<String, Value>>,
}

/// More than a fleet works on at once. A worker may have nothing new to tell for a long time, so what it
/// said last is not forgotten by its age.
const JOBS: NonZeroUsize = NonZeroUsize::new(100_000).unwrap();

impl Default for ProgressBoard {
    fn default() -> Self {
        Self { newest: Mutex::new(LruCache::sparse(JOBS)) }
    }
}

impl ProgressBoard {
    /// Takes in a progress event; within one attempt it never goes back.
    pub(crate) fn hear(&self, payload: &[u8]) {
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

    /// What was told of this attempt last.
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
    fn what_is_told_of_an_attempt_never_goes_back() {
        let board = ProgressBoard::default();
        let tell = |attempt: u32, progress: f64| {
            let data = json!({ "job_id": "j", "attempt": attempt, "progress": progress });
            board.hear(json!({ "data": data }).to_string().as_bytes());
        };
        let told = |attempt| board.of("j", attempt).map(|told| told["progress"].clone());
        tell(1, 40.0);
        tell(1, 30.0);
        assert_eq!(told(1), Some(json!(40.0)));
        tell(2, 5.0);
        tell(1, 50.0);
        assert_eq!((told(1), told(2)), (None, Some(json!(5.0))));
    }
}
