//! Command handling: load, decide, append, and retry on conflict. Generic over all aggregates.

mod cache;
mod handle;
mod later_outputs;
mod metrics;
mod outcome;
mod write_locks;

pub use handle::{Caller, Commands, HandleError, History};
pub use later_outputs::{LaterOutputs, output_name_id};
pub use outcome::{Appended, CommandOutcome};
