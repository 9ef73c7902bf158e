//! Leaves a server that answers, but is cut off from the other servers of its cluster.

use std::time::Duration;

use async_nats::{Client, Message, connection::State};
use bytes::Bytes;

use crate::{LogError, client};

/// What only the leader of the log answers, whichever server is asked.
const QUESTION: &str = "$JS.API.STREAM.INFO.EVENTS";
/// Time between two questions, and how long an answer may take.
const INTERVAL: Duration = Duration::from_secs(2);
/// Questions in a row without an answer after which another server is tried: more than an election
/// takes.
const UNANSWERED: u32 = 5;

/// Connects to another server when this one has not reached a leader for long. Without a majority
/// no server has one, and this changes the server every ten seconds or more. Never returns.
pub(crate) async fn run(client: Client) {
    let mut unanswered = 0_u32;
    loop {
        tokio::time::sleep(INTERVAL).await;
        if client.connection_state() != State::Connected {
            unanswered = 0;
            continue;
        }
        let asking = tokio::time::timeout(INTERVAL, client.request(QUESTION, Bytes::new()));
        let is_answered = matches!(asking.await, Ok(Ok(answer)) if has_leader(&answer));
        unanswered = if is_answered { 0 } else { unanswered.saturating_add(1) };
        if unanswered >= UNANSWERED {
            unanswered = 0;
            tracing::warn!("this NATS server reaches no leader of the log; trying another one");
            if let Err(error) = client.force_reconnect().await {
                tracing::debug!(%error, "cannot reconnect");
            }
        }
    }
}

/// Whether the log has a leader by this answer; a refusal comes from one.
fn has_leader(answer: &Message) -> bool {
    !matches!(client::is_led(&answer.payload), Ok(false) | Err(LogError::Unavailable(_)))
}
