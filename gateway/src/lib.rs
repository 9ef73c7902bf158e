//! The HTTP API: one operation, one file. `problem.rs` alone knows status codes.

mod auth;
mod body;
mod events;
mod health;
mod jobs;
mod manners;
mod media;
mod positions;
mod problem;
mod progress;
mod range;
mod reply;
mod server;
mod state;
mod uploads;

pub use auth::{KeyTable, Minted, Pepper, mint};
pub use problem::Kind as ProblemKind;
pub use server::{GatewayConfig, GatewayError, Server, openapi};
pub use state::{Gateway, Services};
