//! A batch: up to a thousand jobs that are submitted together, by one decision.
//!
//! The batch's own event holds the jobs; the caller that submits it creates them, and the process
//! manager ([`BatchTracker`]) creates the missing ones, so that a crash in between loses nothing.

mod counts;
mod decide;
mod event;
mod public;
#[cfg(test)]
mod tests;
mod tracker;
mod view;
mod waves;

pub use counts::{BatchStatus, Counts};
pub use decide::{Batch, BatchCommand, BatchRejection, BatchState};
pub use event::{BatchEvent, BatchJob, BatchSpec};
pub use public::public;
pub use tracker::{BatchTracker, Step};
pub use view::BatchView;
pub use waves::{Cycle, waves};
