use std::{
    io,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::{Stream, StreamExt};

/// How long a sender may be silent, and the least that it sends in the long run: whoever is slower
/// holds a place that others need.
const PATIENCE: Duration = Duration::from_secs(30);
const LEAST_PER_SECOND: u64 = 1_000;

/// The same bytes, no faster than so many a second; a sender that is too slow is broken off.
pub(crate) fn at<S>(per_second: u64, bytes: S) -> impl Stream<Item = io::Result<Bytes>>
where
    S: Stream<Item = io::Result<Bytes>>,
{
    let start = Instant::now();
    let state = (Box::pin(bytes), 0_u64);
    futures::stream::unfold(state, move |(mut bytes, passed)| async move {
        let next = tokio::time::timeout(PATIENCE, bytes.next()).await;
        let slow = || io::Error::new(io::ErrorKind::TimedOut, "it sent too slowly");
        let chunk = match next {
            Err(_) => return Some((Err(slow()), (bytes, passed))),
            Ok(chunk) => chunk?,
        };
        let Ok(chunk) = chunk else { return Some((chunk, (bytes, passed))) };
        let passed = passed.saturating_add(chunk.len() as u64);
        let elapsed = start.elapsed();
        let least = LEAST_PER_SECOND.saturating_mul(elapsed.saturating_sub(PATIENCE).as_secs());
        if passed < least {
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

    async fn took(per_second: u64, chunks: usize) -> Duration {
        let chunk = Bytes::from_static(&[0; 1_000]);
        let bytes = futures::stream::iter((0..chunks).map(move |_| Ok(chunk.clone())));
        let start = Instant::now();
        let passed: Vec<_> = at(per_second, bytes).collect().await;
        assert_eq!(passed.len(), chunks);
        start.elapsed()
    }

    #[tokio::test]
    async fn bytes_pass_no_faster_than_they_may() {
        let took = took(20_000, 10).await;
        assert!((0.45..2.0).contains(&took.as_secs_f64()), "{took:?}");
    }
}
