use futures::future::{BoxFuture, join_all};

/// Maximum number of futures that are polled concurrently.
const CHUNK_SIZE: usize = 256;

/// Awaits futures in chunks of [`CHUNK_SIZE`]; returns their outputs in the same order.
pub(crate) async fn join_in_chunks<T>(futures: impl Iterator<Item = BoxFuture<'_, T>>) -> Vec<T> {
    let mut futures: Vec<_> = futures.collect();
    let mut outputs = Vec::with_capacity(futures.len());
    while !futures.is_empty() {
        let rest = futures.split_off(futures.len().min(CHUNK_SIZE));
        outputs.extend(join_all(futures).await);
        futures = rest;
    }
    outputs
}
