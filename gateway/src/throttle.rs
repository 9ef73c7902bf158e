use std::{
    io,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::{Stream, StreamExt};

/// How long a client may send nothing; also the grace period before the minimum rate applies.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// The minimum average rate in bytes per second, so that slow clients do not occupy connections.
const MIN_BYTES_PER_SECOND: u64 = 1_000;

/// The same bytes at no more than `per_second`; ends with an error if the client is too slow.
pub(crate) fn throttle<S>(per_second: u64, bytes: S) -> impl Stream<Item = io::Result<Bytes>>
where
    S: Stream<Item = io::Result<Bytes>>,
{
    let start = Instant::now();
    let state = (Box::pin(bytes), 0_u64);
    futures::stream::unfold(state, move |(mut bytes, passed)| async move {
        let next = tokio::time::timeout(READ_TIMEOUT, bytes.next()).await;
        let slow = || io::Error::new(io::ErrorKind::TimedOut, "the client sent too slowly");
        let chunk = match next {
            Err(_) => return Some((Err(slow()), (bytes, passed))),
            Ok(chunk) => chunk?,
        };
        let Ok(chunk) = chunk else { return Some((chunk, (bytes, passed))) };
        let passed = passed.saturating_add(chunk.len() as u64);
        let elapsed = start.elapsed();
        let counted = elapsed.saturating_sub(READ_TIMEOUT).as_secs();
        if passed < MIN_BYTES_PER_SECOND.saturating_mul(counted) {
            return Some((Err(slow()), (bytes, passed)));
        }
        let due = Duration::from_micros(
            u64::try_from(u128::from(passed) * 1_000_000 / u128::from(per_second.max(1)))
                .unwrap_or(u64::MAX),
        );
        if due > elapsed {
            tokio::time::sleep(due.saturating_sub(elapsed)).await;
        }
        Some((Ok(chunk), (bytes, passed)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn duration(per_second: u64, chunks: usize) -> Duration {
        let chunk = Bytes::from_static(&[0; 1_000]);
        let bytes = futures::stream::iter((0..chunks).map(move |_| Ok(chunk.clone())));
        let start = Instant::now();
        let passed: Vec<_> = throttle(per_second, bytes).collect().await;
        assert_eq!(passed.len(), chunks);
        start.elapsed()
    }

    #[tokio::test]
    async fn bytes_pass_no_faster_than_the_limit() {
        let duration = duration(20_000, 10).await;
        assert!((0.45..2.0).contains(&duration.as_secs_f64()), "{duration:?}");
    }
}
