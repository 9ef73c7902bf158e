//! The contract of the log and the queues. Each test starts its own NATS server.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod append;
mod codec;
mod harness;
mod idempotency;
mod quota_counter;
mod read;
mod topology;
mod vault;
mod work;
