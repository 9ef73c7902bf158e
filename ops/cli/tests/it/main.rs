//! The product as its users meet it: the real binary, real HTTP, real files, real kills.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![expect(clippy::future_not_send, reason = "a test stays on its thread")]

mod amplifier;
mod audit;
mod batches;
mod cancel;
mod chaos;
mod crash;
mod delivery;
mod demo;
mod edge;
mod erasure;
mod feed;
mod fleet;
mod hostile;
mod issuer;
mod journey;
mod keys;
mod manners;
mod media;
mod neighbours;
mod operator;
mod outage;
mod patience;
mod poison;
mod presets;
mod queue_quota;
mod receiver;
mod reopen;
mod retention;
mod retries;
mod roles;
mod sealed;
mod secrets;
mod stack;
mod storage_quota;
mod takeover;
mod tenants;
mod texts;
mod time;
mod users;
mod views;
mod web;
mod webhooks;
