//! Read models against a real log and a real Postgres of each test's own.

mod harness;
mod jobs;
mod runner;
