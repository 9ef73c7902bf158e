//! Process runners and effectful workers.
//!
//! - [`Conductor`]: follows the log, releases jobs to free slots, takes over from vanished workers,
//!   sees batches through, tells live subjects what happened.
//! - [`Retention`]: removes what was kept as long as it is kept.
//! - [`Sender`]: sends webhooks, endpoint by endpoint.
//! - [`Worker`]: takes released tasks, runs each in a sandboxed media child, seals and delivers.

mod announce;
mod attempt;
mod charge;
mod clock;
mod conductor;
mod ears;
mod failure;
mod insist;
mod intake;
mod leadership;
mod life;
mod outputs;
mod planner;
mod presence;
mod retention;
mod running;
mod slot;
mod storage_quota;
mod task;
mod tell;
mod webhooks;
mod worker;

pub use conductor::{Conductor, SchedulingConfig};
pub use intake::Sources;
pub use presence::{PRESENCE, Presence, Roster};
pub use retention::{Retention, RetentionConfig};
pub use webhooks::{Sender, WebhooksConfig};
pub use worker::{Sandbox, Worker, WorkerConfig, WorkerError};
