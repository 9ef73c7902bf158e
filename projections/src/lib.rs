//! Read models in Postgres: one file each, with row, queries and tests.
//!
//! [`Runner`] follows the log and gives batches to one [`Projection`]; its rows and its checkpoint
//! are written in one transaction, so what is read is always the log up to a known position. The
//! only importer of sqlx.

pub mod archive;
mod checkpoint;
mod database;
mod error;
pub mod jobs;
mod rebuild;
mod runner;

pub use archive::Archive;
pub use checkpoint::{Checkpoint, positions};
pub use database::{Database, PostgresConfig};
pub use error::ProjectionError;
pub use jobs::Jobs;
pub use rebuild::Rebuild;
pub use runner::{Applied, Projection, Runner, position_subject};
