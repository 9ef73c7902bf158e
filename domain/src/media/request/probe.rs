use serde::{Deserialize, Serialize};

use crate::{Personal, location::Location};

/// Finds out what a file is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Where the bytes come from.
    pub input: Personal<Location>,
}
