//! Where bytes live, and how they come from the web.
//!
//! One local store so far. Paths under `.uploads` and `.staging` are ours; a user's location can
//! name neither. A file gets its final name only when every byte of it is on disk.

mod egress;
mod error;
mod staging;
mod store;
mod upload;

pub use egress::{Answer, Egress, EgressConfig, EgressError, Message};
pub use error::StorageError;
pub use staging::Staged;
pub use store::{Reading, Stat, Storage};
pub use upload::Received;
