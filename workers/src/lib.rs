//! Long-running processes that have side effects.
//!
//! - [`Conductor`]: follows the log, releases jobs to free slots, takes back attempts of lost
//!   workers, advances batches, and publishes events.
//! - [`Retention`]: deletes outputs, uploads and delivery records past their retention period.
//! - [`Sender`]: sends webhooks, endpoint by endpoint.
//! - [`Worker`]: takes released tasks, runs each in a sandboxed media child, then seals and
//!   delivers the outputs.

mod active_attempts;
mod attempt;
mod clock;
mod cloud_events;
mod conductor;
mod failure;
mod input_fetcher;
mod leadership;
mod media_minutes;
mod metrics;
mod outputs;
mod planner;
mod presence;
mod progress_event;
mod ranged_input;
mod retention;
mod retry_until_decided;
mod scratch;
mod self_heartbeat;
mod slot;
mod stall_detector;
mod storage_quota;
mod task;
mod webhooks;
mod worker;

pub use conductor::{Conductor, SchedulingConfig};
pub use input_fetcher::InputFetcher;
pub use presence::Roster;
pub use retention::{Retention, RetentionConfig};
pub use webhooks::{Sender, WebhooksConfig};
pub use worker::{Lifetime, Sandbox, Worker, WorkerConfig, WorkerError};
