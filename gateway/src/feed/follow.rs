use std::{sync::Arc, time::Duration};

use domain::Tenant;
use nats::{LogError, Message, Position};
use poem::web::sse::Event;
use serde_json::Value;
use tokio::sync::{broadcast, mpsc};

use super::{Shown, translate};
use crate::{
    events::{News, next},
    state::Gateway,
};

/// What is followed of a tenant's events.
pub(super) trait Wanted: Send {
    /// What is to be sent of a message, if it is wanted.
    fn of(&mut self, message: &Message, shown: Vec<Shown>) -> Vec<Event>;

    /// What is to be sent of a worker's progress, if it is wanted.
    fn progress(&self, job: domain::JobId, data: &Value) -> Option<Event>;

    /// True once nothing more will come by itself.
    fn is_over(&self) -> bool;
}

/// One reader of a tenant's events.
pub(super) struct Follow<W> {
    pub(super) gateway: Arc<Gateway>,
    pub(super) tenant: Tenant,
    /// What was sent last.
    pub(super) after: Position,
    pub(super) wanted: W,
    pub(super) sender: mpsc::Sender<Event>,
    pub(super) listener: broadcast::Receiver<News>,
}

/// Messages read at once while catching up.
pub(super) const PAGE: usize = 1_000;

impl<W: Wanted> Follow<W> {
    /// Sends what there is and what comes, until it is over or nobody listens.
    pub(super) async fn run(mut self) {
        loop {
            match self.catch_up().await {
                Ok(Some(())) => {}
                Ok(None) => return,
                Err(error) => {
                    tracing::debug!(%error, "a feed waits for the log");
                    tokio::select! {
                        () = tokio::time::sleep(Duration::from_millis(200)) => continue,
                        () = self.sender.closed() => return,
                    }
                }
            }
            if self.follow().await.is_none() {
                return;
            }
        }
    }

    /// Sends what stands in the log; none once there is no more to say, or nobody to say it to.
    async fn catch_up(&mut self) -> Result<Option<()>, LogError> {
        let filter = format!("ev.*.{}.>", self.tenant);
        loop {
            let from = self.after.sequence.max(1);
            let page = self.gateway.commands.log().page(&filter, from, PAGE).await?;
            let whole = page.len() < PAGE;
            for message in &page {
                if self.send(message).await.is_none() {
                    return Ok(None);
                }
            }
            if whole {
                return Ok(Some(()));
            }
        }
    }

    /// Sends what is heard; ends with something once anything was missed.
    async fn follow(&mut self) -> Option<()> {
        loop {
            let news = tokio::select! {
                news = next(&mut self.listener) => news,
                () = self.sender.closed() => return None,
            };
            match news {
                None => return Some(()),
                Some(News::Logged(message)) if message.sequence <= self.after.sequence => {}
                Some(News::Logged(message)) => self.send(&message).await?,
                Some(News::Progress(job, data)) => {
                    if let Some(event) = self.wanted.progress(job, &data) {
                        self.sender.send(event).await.ok()?;
                    }
                }
            }
        }
    }

    /// Sends what is new in a message.
    async fn send(&mut self, message: &Message) -> Option<()> {
        let mut shown = loop {
            match translate(&self.gateway, message).await {
                Ok(shown) => break shown,
                Err(nats::CodecError::Unreadable(why)) => {
                    tracing::error!(sequence = message.sequence, why, "message passed over");
                    break vec![];
                }
                Err(nats::CodecError::Log(_)) => {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        };
        shown.retain(|shown| shown.position > self.after);
        let last = shown.last().map(|last| last.position);
        for event in self.wanted.of(message, shown) {
            self.sender.send(event).await.ok()?;
        }
        let end = Position { sequence: message.sequence, index: u32::MAX, ..self.after };
        self.after = self.after.max(last.unwrap_or(end));
        (!self.wanted.is_over()).then_some(())
    }
}
