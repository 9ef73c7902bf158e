//! The runtime that runs all of this process' tasks.

use opentelemetry::global;
use tokio::runtime::Handle;

/// Registers instruments that are read whenever metrics are.
pub(super) fn register() {
    let meter = global::meter("ffapi");
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let metrics = Handle::current().metrics();
    let workers = count(metrics.num_workers());
    meter
        .u64_observable_gauge("ffapi.runtime.threads")
        .with_description("Threads that run the tasks of this process")
        .with_callback(move |observer| observer.observe(workers, &[]))
        .build();
    let of_tasks = metrics.clone();
    meter
        .u64_observable_gauge("ffapi.runtime.tasks")
        .with_description("Tasks of this process that have not ended")
        .with_callback(move |observer| observer.observe(count(of_tasks.num_alive_tasks()), &[]))
        .build();
    meter
        .u64_observable_gauge("ffapi.runtime.queued_tasks")
        .with_description("Tasks that are ready to run and wait for a thread, in the common queue")
        .with_callback(move |observer| observer.observe(count(metrics.global_queue_depth()), &[]))
        .build();
}
