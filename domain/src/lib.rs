//! The domain: deciders, events, value types, and the media request with its plan.
//!
//! Pure by construction: no clock, no randomness, no I/O. Time and ids arrive inside commands. Each
//! aggregate is one module (`job`, `upload`, `key`, `account`, `output`) with the same parts in the
//! same order: event, state, command and decision, view.

// A new event must be considered everywhere that events are folded.
#![warn(clippy::wildcard_enum_match_arm)]

pub mod account;
mod any_event;
pub mod audit;
pub mod batch;
pub mod catalogue;
mod decider;
pub mod dispatch;
pub mod egress;
mod id;
pub mod job;
pub mod key;
pub mod live;
pub mod location;
pub mod media;
mod month;
mod network;
pub mod output;
mod personal;
pub mod preset;
mod public_event;
pub mod queue_quota;
pub mod quota;
pub mod restoration;
pub mod retention;
#[cfg(test)]
mod spec;
pub mod storage_quota;
mod tenant;
mod timestamp;
pub mod upload;
pub mod webhook;

pub use any_event::{AnyEvent, Category};
pub use decider::Decider;
pub use id::{BadId, BatchId, JobId, KeyId, LeaseId, UploadId, WebhookId};
pub use month::{Month, ParseMonthError};
pub use network::{BadNetwork, Network};
pub use personal::{ERASED_EXT, PERSONAL_EXT, Personal};
pub use public_event::PublicEvent;
pub use tenant::{BadTenant, Tenant};
pub use timestamp::Timestamp;
