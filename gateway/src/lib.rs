//! The HTTP API: one operation, one file. `problem.rs` alone knows status codes.

mod accounts;
mod audit;
mod auth;
mod body;
mod clock;
mod connection;
mod door;
mod events;
mod guard;
mod headers;
mod health;
mod idempotency;
mod if_match;
mod jobs;
mod keys;
mod limits;
mod manners;
mod media;
mod page;
mod positions;
mod problem;
mod progress;
mod random;
mod range;
mod reply;
mod server;
mod state;
mod throttle;
mod tls;
mod tokens;
mod trail;
mod uploads;

pub use auth::{Directory, Minted, Pepper, mint};
pub use problem::Kind as ProblemKind;
pub use server::{GatewayConfig, GatewayError, Server, TlsConfig, openapi};
pub use state::{Gateway, Services};
