//! Work that goes on when its request does not.

use tracing::Instrument;

use crate::problem::{Kind, Problem};

/// Runs something to its end, also when the client resets its request: the server then drops the handler
/// wherever it waits, and only what runs in a task of its own still undoes or records what it began.
///
/// # Errors
/// Those of the work itself; an internal one if it panicked.
pub(crate) async fn uncancelled<T: Send + 'static>(
    work: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<T, Problem> {
    let task = tokio::spawn(work.in_current_span());
    task.await.unwrap_or_else(|error| Err(Problem::new(Kind::Internal, error.to_string())))
}
