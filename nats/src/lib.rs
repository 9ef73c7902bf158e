//! The event log, the task queue and the other streams: JetStream behind a small interface.
//!
//! - [`Log`]: append one decision with an expected sequence, load one aggregate, follow everything.
//! - [`Work`]: the queue of released tasks.
//! - [`PubSub`]: messages to current subscribers, not stored.
//! - [`JobLogs`]: log lines of media children.
//! - [`AuditStream`]: audit records that are not decisions: rejected requests and reads.
//! - [`SignedHeads`]: signed hashes of the archive.
//! - [`Vault`]: secrets and data keys, encrypted and deletable.
//! - [`Idempotency`]: the resource that a client's idempotency key belongs to.
//! - [`QuotaCounter`]: how much of a limit has been leased to gateways.
//! - [`RawStream`]: whole streams, message by message, for backups and restores.
//! - [`subject`]: the subjects of all messages.
//! - [`topology`]: the stream configurations; applied explicitly and checked at start.
//!
//! Generic over the event type. The only crate that depends on async-nats.

mod append;
mod audit_stream;
mod client;
mod codec;
mod decision;
mod error;
pub mod failpoint;
mod idempotency;
mod job_logs;
mod log;
mod metrics;
mod pages;
mod position;
mod pub_sub;
mod queue_health;
mod quota_counter;
mod raw_stream;
mod read;
mod record;
mod server_watch;
mod signed_heads;
pub mod subject;
pub mod topology;
pub mod trace;
mod upcast;
mod vault;
mod work;

pub use append::AppendRequest;
pub use audit_stream::AuditStream;
pub use client::{Nats, NatsConfig};
pub use codec::{Codec, CodecError, Unreadable, until_available};
pub use decision::{Actor, Decision, Message, Snapshot, personal};
pub use error::{AppendError, LogError};
pub use idempotency::{Idempotency, Reservation, Reserved};
pub use job_logs::JobLogs;
pub use log::Log;
pub use metrics::StreamState;
pub use pages::Pages;
pub use position::{ParsePositionError, Position};
pub use pub_sub::{LiveMessage, PubSub, Subscription};
pub use queue_health::QueueHealth;
pub use quota_counter::{Lease, QuotaCounter};
pub use raw_stream::{Bounds, RawStream};
pub use read::{Page, PageLimits, Reader};
pub use record::Record;
pub use signed_heads::SignedHeads;
pub use vault::{KeyUsage, MasterKeys, Vault};
pub use work::{Puller, Task, Work};
