use serde::{Deserialize, Serialize};

use crate::{Personal, location::Location};

/// Returns the facts of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Location of the input.
    pub input: Personal<Location>,
}
