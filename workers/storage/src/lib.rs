//! Storage of uploads and outputs, and outgoing HTTP requests.
//!
//! A deployment has its own store, which is a local folder or a bucket, and may have named ones.
//! What lies under `.uploads` and `.staging` is internal: a user's location cannot name it. An
//! object gets its final name only once all of its bytes are stored.

mod backend;
mod breaker;
mod bucket;
mod comma_separated;
mod config;
pub mod duration_setting;
mod egress;
mod error;
mod folder;
mod layout;
mod metrics;
mod object;
mod opened;
mod partial;
mod plain;
mod put;
mod receive;
mod spans;
mod storage;
mod store;
mod tenant_storage;
mod usage;

pub use bucket::RetryPolicy;
pub use comma_separated::comma_separated;
pub use config::{Downloads, StorageConfig, StoreConfig, StoresConfig};
pub use egress::{Answer, Egress, EgressConfig, EgressError, Message, NoSpace, Space};
pub use error::StorageError;
pub use object::{Download, Reading, Received, Stat};
pub use opened::{Opened, RemoteObject};
pub use partial::{LastPart, PartialUpload};
pub use plain::{Listed, PlainStore};
pub use put::{PutError, check_signature};
pub use storage::{StagedJob, Storage};
pub use tenant_storage::{Staged, TenantStorage};
pub use usage::{StoreUsage, Total};
