//! End-to-end tests of the product: the real binary, real HTTP, real files and real kills.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![expect(clippy::future_not_send, reason = "a test stays on its thread")]

mod account_reopening;
mod audit;
mod batches;
mod cancellation;
mod chaos;
mod compromised_child;
mod crash;
mod deletion;
mod delivery;
mod demo;
mod end_to_end;
mod erasure;
mod feed;
mod fleet;
mod history;
mod host_isolation;
mod hostile;
mod http_semantics;
mod idempotency;
mod jwt_issuer;
mod keys;
mod media;
mod nats_permissions;
mod object_storage;
mod old_data;
mod operator;
mod outage;
mod output_names;
mod polling;
mod presets;
mod queue_quota;
mod quickstart;
mod read_your_writes;
mod receiver;
mod remote_inputs;
mod resumable_uploads;
mod retention;
mod retries;
mod roles;
mod secrets;
mod serving;
mod stack;
mod storage_quota;
mod stored_credentials;
mod tenants;
mod text_validation;
mod tokens;
mod transport;
mod unreadable_events;
mod uploads;
mod usage;
mod webhook_limits;
mod webhooks;
