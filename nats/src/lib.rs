//! The log and the queues as we see them: JetStream behind the few verbs we need.
//!
//! - [`Log`]: append one decision with an expected sequence, load one aggregate, follow everything.
//! - [`Work`]: the queue of released tasks.
//! - [`Live`]: what is told to whoever listens now, and nobody keeps.
//! - [`Lines`]: what media children had to say.
//! - [`Notes`]: what no decision holds: refusals, and who looked at what.
//! - [`Anchors`]: signed hashes of the archive.
//! - [`Vault`]: secrets and data keys, encrypted and deletable.
//! - [`Idempotency`]: which resource a client's key stands for.
//! - [`Allowance`]: what is handed out of a limit that many gateways share.
//! - [`topology`]: the streams as data, applied and checked, never made on the fly.
//!
//! Generic over the event type, and the only importer of async-nats.

mod allowance;
mod anchors;
mod append;
mod client;
mod codec;
mod decision;
mod error;
pub mod failpoint;
mod idempotency;
mod lines;
mod live;
mod log;
mod notes;
mod position;
mod read;
pub mod topology;
mod vault;
mod work;

pub use allowance::{Allowance, Lease};
pub use anchors::Anchors;
pub use append::Draft;
pub use client::{Nats, NatsConfig};
pub use codec::{Codec, CodecError};
pub use decision::{Actor, Decision, Message, Standing, personal};
pub use error::{AppendError, LogError};
pub use idempotency::{Idempotency, Reservation, Reserved};
pub use lines::Lines;
pub use live::{Heard, Live, Subscription};
pub use log::Log;
pub use notes::Notes;
pub use position::{BadPosition, Position};
pub use read::Reader;
pub use vault::Vault;
pub use work::{Puller, Task, Work};
