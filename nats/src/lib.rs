//! The log and the queues as we see them: JetStream behind the few verbs we need.
//!
//! - [`Log`]: append one decision with an expected sequence, load one aggregate, follow everything.
//! - [`Work`]: the queue of released tasks.
//! - [`PubSub`]: what is told to whoever listens now, and nobody keeps.
//! - [`JobLogs`]: what media children had to say.
//! - [`AuditStream`]: what no decision holds: refusals, and who looked at what.
//! - [`SignedHeads`]: signed hashes of the archive.
//! - [`Vault`]: secrets and data keys, encrypted and deletable.
//! - [`Idempotency`]: which resource a client's key stands for.
//! - [`QuotaCounter`]: what is handed out of a limit that many gateways share.
//! - [`topology`]: the streams as data, applied and checked, never made on the fly.
//!
//! Generic over the event type, and the only importer of async-nats.

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
mod position;
mod pub_sub;
mod quota_counter;
mod read;
mod signed_heads;
pub mod topology;
mod vault;
mod work;

pub use append::AppendRequest;
pub use audit_stream::AuditStream;
pub use client::{Nats, NatsConfig};
pub use codec::{Codec, CodecError};
pub use decision::{Actor, Decision, Message, Snapshot, personal};
pub use error::{AppendError, LogError};
pub use idempotency::{Idempotency, Reservation, Reserved};
pub use job_logs::JobLogs;
pub use log::Log;
pub use position::{BadPosition, Position};
pub use pub_sub::{LiveMessage, PubSub, Subscription};
pub use quota_counter::{Lease, QuotaCounter};
pub use read::Reader;
pub use signed_heads::SignedHeads;
pub use vault::Vault;
pub use work::{Puller, Task, Work};
