//! Read models. Each test starts its own NATS server and Postgres.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod erasure;
mod harness;
mod job_detail;
mod job_list;
mod poison;
mod queue;
mod rebuild;
mod runner;
mod verify;
mod webhooks;
