//! The contract of the log and the queues, against a real server of each test's own.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod allowance;
mod append;
mod codec;
mod harness;
mod idempotency;
mod read;
mod topology;
mod work;
