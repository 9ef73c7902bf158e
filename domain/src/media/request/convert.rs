use serde::{Deserialize, Serialize};

use super::Overwrite;
use crate::{
    Personal,
    location::Location,
    media::{Operation, Role},
};

/// One file in, one file out, operations in order between.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Convert {
    /// Where the bytes come from.
    pub input: Personal<Location>,
    /// Where they go.
    pub output: Personal<Location>,
    /// In this order.
    #[serde(default)]
    pub operations: Vec<Operation>,
    /// If the output name is taken.
    #[serde(default)]
    pub overwrite: Overwrite,
}

impl Convert {
    /// Every file it reads, the job's own first: the plan's numbers.
    pub fn inputs(&self) -> Vec<(&Personal<Location>, Role)> {
        let named = self.operations.iter().flat_map(Operation::inputs);
        std::iter::once((&self.input, Role::Media)).chain(named).collect()
    }
}
