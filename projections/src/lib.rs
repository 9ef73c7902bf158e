//! Read models in Postgres: one file each, with row, queries and tests.
//!
//! [`Runner`] follows the log and passes batches to one [`Projection`]. Rows and checkpoint are
//! written in one transaction, so that the rows always correspond to the log up to a known
//! position. The only crate that depends on sqlx.

mod anchor;
pub mod archive;
pub mod audit;
pub mod batch;
mod checkpoint;
mod database;
pub mod delivery_queue;
mod digest;
mod erasure;
mod error;
mod fold;
pub mod job_detail;
pub mod job_list;
mod lag_watch;
mod measured;
mod metrics;
pub mod pace;
pub mod preset;
pub mod public_message;
pub mod queue;
mod rebuild;
pub mod report;
mod runner;
mod storable;
pub mod upload;
pub mod usage;
pub mod webhooks;

pub use anchor::{Anchor, AnchorSigner, AnchorVerifier, InvalidVerifyingKey, verifying_key};
pub use archive::Archive;
pub use audit::{AuditDecisions, AuditNotes};
pub use batch::BatchList;
pub use checkpoint::{Checkpoint, Ends, ReadModelPosition, positions};
pub use database::{Database, PostgresConfig};
pub use digest::{Digest, READ_MODELS, built_digest, digest, digests};
pub use erasure::ErasedAggregates;
pub use error::{Flaw, ProjectionError};
pub use job_detail::JobDetail;
pub use job_list::JobList;
pub use lag_watch::watch_lag;
pub use pace::Pace;
pub use preset::Presets;
pub use queue::Queue;
pub use rebuild::Rebuild;
pub use report::Report;
pub use runner::{Applied, Projection, Runner, position_subject};
pub use upload::Uploads;
pub use usage::Usage;
pub use webhooks::{Replays, Webhooks};
