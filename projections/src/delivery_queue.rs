//! The queue of webhook deliveries. The read model of webhooks, replays and progress add deliveries;
//! senders claim an endpoint, send what is due at it in order, record the outcomes, and release it.
//!
//! Its tables are `delivery` and `delivery_attempt`, and the columns of `webhook` about leases,
//! failures and due times. The log has no outcomes of deliveries, so these rows are not derived from
//! it: a rebuild of the read model starts with all deliveries due, and [`settle_deliveries`] removes
//! those that a backup knows as sent. A transaction locks the endpoint before its deliveries.

mod attempts;
mod backlog;
mod claim;
mod enqueue;
mod progress;
mod settle;

use std::collections::BTreeMap;

use ffapi_domain::WebhookId;

pub(crate) use self::enqueue::{NewDelivery, enqueue};
pub use self::{
    attempts::{Due, Outcome, due, record},
    backlog::{Backlog, backlog},
    claim::{Endpoint, SenderSession, Share, claim, release},
    progress::enqueue_progress,
    settle::{DueDeliveries, DueDelivery, due_deliveries, settle_deliveries},
};

/// When the next delivery of each endpoint is due, in milliseconds since 1970.
type DueTimes = BTreeMap<WebhookId, i64>;
