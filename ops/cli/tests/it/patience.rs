//! Waiting for what takes its time.

use std::{
    fmt::Debug,
    time::{Duration, Instant},
};

/// How long anything may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(25);

/// Looks again and again until what is seen is what is wanted, and answers it.
pub(crate) async fn until<T: Debug>(
    mut look: impl AsyncFnMut() -> T,
    wanted: impl Fn(&T) -> bool,
) -> T {
    let start = Instant::now();
    loop {
        let seen = look().await;
        if wanted(&seen) {
            return seen;
        }
        assert!(start.elapsed() < PATIENCE, "still {seen:#?}");
        tokio::time::sleep(PAUSE).await;
    }
}
