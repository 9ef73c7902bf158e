use serde::{Deserialize, Serialize};

use super::Overwrite;
use crate::{
    Personal,
    location::Location,
    media::{Operation, Role, SubtitleMode},
};

/// Converts one file into another by a sequence of operations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Convert {
    /// Location of the input.
    pub input: Personal<Location>,
    /// Location of the output.
    pub output: Personal<Location>,
    /// In this order.
    #[serde(default)]
    pub operations: Vec<Operation>,
    /// What happens if the output name is taken.
    #[serde(default)]
    pub overwrite: Overwrite,
}

impl Convert {
    /// Every file it reads, the job's own input first, in the order in which the plan numbers them.
    pub fn inputs(&self) -> Vec<(&Personal<Location>, Role)> {
        let named = self.operations.iter().flat_map(Operation::inputs);
        std::iter::once((&self.input, Role::Media)).chain(named).collect()
    }

    /// True if it writes subtitles next to its output.
    pub(super) fn has_sidecar(&self) -> bool {
        let is_sidecar = |operation: &Operation| matches!(operation, Operation::Subtitles(it) if it.mode == SubtitleMode::Sidecar);
        self.operations.iter().any(is_sidecar)
    }

    /// Every location that it names.
    pub(super) fn locations_mut(&mut self) -> impl Iterator<Item = &mut Personal<Location>> {
        let named = self.operations.iter_mut().flat_map(Operation::inputs_mut);
        [&mut self.input, &mut self.output].into_iter().chain(named)
    }
}
