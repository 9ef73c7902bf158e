//! Polling for a condition with a timeout.

use std::{
    fmt::Debug,
    time::{Duration, Instant},
};

/// How long a condition may take before the test fails.
pub(crate) const POLL_TIMEOUT: Duration = Duration::from_mins(2);

/// The interval between two checks.
const POLL_INTERVAL: Duration = Duration::from_millis(25);

/// Polls until `wanted` accepts a value, and returns it.
pub(crate) async fn until<T: Debug>(
    mut poll: impl AsyncFnMut() -> T,
    wanted: impl Fn(&T) -> bool,
) -> T {
    let start = Instant::now();
    loop {
        let value = poll().await;
        if wanted(&value) {
            return value;
        }
        assert!(start.elapsed() < POLL_TIMEOUT, "still {value:#?}");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}
