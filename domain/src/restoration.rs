//! Restores of the log from a backup, as the log itself records them.

use serde::{Deserialize, Serialize};

use crate::Category;

/// The subject category of these events.
pub const CATEGORY: &str = Category::Restoration.as_str();

/// What happened to the log as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogEvent {
    /// The log was restored from a backup. Everything before this event is what the backup had;
    /// positions of earlier epochs after `sequence` name messages that are gone.
    #[serde(rename = "log.restored")]
    Restored {
        /// The id of the backup.
        backup: String,
        /// The epoch of the log that was backed up.
        from_epoch: u32,
        /// The epoch from now on.
        epoch: u32,
        /// Stream sequence of the last message that was restored.
        sequence: u64,
    },
}
