//! What gateways and whoever removes things say to each other.

use serde::{Deserialize, Serialize};

/// Where somebody asks for a round now; `dry` to be told only.
pub const CLEANUP: &str = "rpc.cleanup";

/// What a round removed, or would.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// Jobs whose outputs are gone.
    pub jobs: u64,
    /// Uploads.
    pub uploads: u64,
    /// Records of deliveries; not counted in a dry round.
    pub deliveries: u64,
}
