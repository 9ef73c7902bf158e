//! Storage of uploads and outputs, and outgoing HTTP requests.
//!
//! The only backend is a local folder. The paths under `.uploads` and `.staging` are internal: a
//! user's location cannot name them. A file gets its final name only once all of its bytes are on
//! disk.

mod comma_separated;
mod egress;
mod error;
mod staging;
mod store;
mod upload;

pub use comma_separated::comma_separated;
pub use egress::{Answer, Egress, EgressConfig, EgressError, Message};
pub use error::StorageError;
pub use staging::Staged;
pub use store::{Reading, Stat, Storage};
pub use upload::Received;
