//! Read models against a real log and a real Postgres of each test's own.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;
mod job_detail;
mod job_list;
mod poison;
mod queue;
mod rebuild;
mod runner;
mod verify;
mod webhooks;
