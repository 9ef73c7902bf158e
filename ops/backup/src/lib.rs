//! Backups of the event log and of the state beside it, in any store.
//!
//! [`create`] copies what was added to the log since the previous backup, in compressed and
//! encrypted chunks that are never changed, and then stores a [`Manifest`] of all chunks: each backup
//! is complete, and takes the space of its difference. [`verify`] restores one into private servers
//! and compares it. [`Restore`] writes the streams of an empty server up to any position, and raises
//! the epoch. [`prune`] deletes old backups, and the vaults in which erased tenants still are.

mod chunk;
mod create;
mod drill;
mod error;
mod keys;
mod manifest;
mod metrics;
mod object;
mod plan;
mod prune;
mod repository;
mod restore;
mod schedule;
mod vault;
mod verify;

pub use create::{Created, Source, create};
pub use drill::{Exercise, drill};
pub use error::BackupError;
pub use keys::{Identities, Recipients, generate_key};
pub use manifest::{Chunk, Manifest, VaultObject};
pub use plan::{Lost, Plan, Point};
pub use prune::{Keep, Pruned, prune};
pub use repository::{Backups, Repository};
pub use restore::{Restore, Restored, settle_newest};
pub use schedule::Schedule;
pub use vault::files;
pub use verify::{VerificationKeys, Verified, verify};
