use bytes::Bytes;

use crate::{LogError, Message, Nats, read, topology::LOGS};

/// What media children had to say about each job, for a week.
#[derive(Debug, Clone)]
pub struct JobLogs {
    nats: Nats,
}

impl JobLogs {
    /// In this server.
    pub const fn new(nats: Nats) -> Self {
        Self { nats }
    }

    /// Keeps one line. Not awaited to the disk: a lost line loses no job.
    pub async fn keep(&self, tenant: &str, job: &str, line: impl Into<Bytes>) {
        if self.nats.connected_for().is_some() {
            let _ = self.nats.client.publish(format!("logs.{tenant}.{job}"), line.into()).await;
        }
    }

    /// Forgets everything of a tenant.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn erase(&self, tenant: &str) -> Result<(), LogError> {
        let stream = self.nats.jetstream.get_stream_no_info(LOGS).await;
        let stream = stream.map_err(LogError::unavailable)?;
        let filter = format!("logs.{tenant}.>");
        stream.purge().filter(filter).await.map_err(LogError::unavailable)?;
        Ok(())
    }

    /// At most so many lines of one job, from a sequence on.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn page(
        &self,
        tenant: &str,
        job: &str,
        from: u64,
        most: usize,
    ) -> Result<Vec<Message>, LogError> {
        read::page(&self.nats, LOGS, &format!("logs.{tenant}.{job}"), from, most).await
    }
}
