use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde_json::Value;

/// The newest progress of each running job, as its worker tells it.
#[derive(Debug, Default)]
pub(crate) struct ProgressBoard {
    newest: Mutex<HashMap<String, (Instant, Value)>>,
}

const FORGET: Duration = Duration::from_mins(2);

impl ProgressBoard {
    /// Takes in a progress event; within one attempt it never goes back.
    pub(crate) fn hear(&self, payload: &[u8]) {
        let Ok(mut event) = serde_json::from_slice::<Value>(payload) else { return };
        let Some(data) = event.get_mut("data").map(Value::take) else { return };
        let Some(job) = data.get("job_id").and_then(Value::as_str).map(str::to_owned) else {
            return;
        };
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        newest.retain(|_, (at, _)| at.elapsed() < FORGET);
        let rank = |data: &Value| {
            let number = |name: &str| data.get(name).and_then(Value::as_f64).unwrap_or(0.0);
            (number("attempt"), number("progress"))
        };
        if newest.get(&job).is_none_or(|(_, known)| rank(known) <= rank(&data)) {
            newest.insert(job, (Instant::now(), data));
        }
    }

    /// What was told of this attempt last.
    pub(crate) fn of(&self, job: &str, attempt: u32) -> Option<Value> {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, data) = newest.get(job)?;
        let same = data.get("attempt").and_then(Value::as_u64) == Some(u64::from(attempt));
        same.then(|| data.clone())
    }
}
