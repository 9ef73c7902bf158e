//! Work that continues when its request is cancelled.

use tracing::Instrument;

use crate::problem::{Kind, Problem};

/// Runs work to completion even if the client resets its request. The server then drops the handler
/// at its next await; only a task of its own still records or undoes what it began.
///
/// # Errors
/// Those of the work itself; an internal error if it panics.
pub(crate) async fn uncancelled<T: Send + 'static>(
    work: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<T, Problem> {
    let task = tokio::spawn(work.in_current_span());
    task.await.unwrap_or_else(|error| Err(Problem::new(Kind::Internal, error.to_string())))
}
