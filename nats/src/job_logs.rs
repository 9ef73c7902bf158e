use bytes::Bytes;

use crate::{LogError, Message, Nats, PageLimits, read, subject, topology::LOGS};

/// Log lines of media children by job, kept for seven days.
#[derive(Debug, Clone)]
pub struct JobLogs {
    nats: Nats,
}

impl JobLogs {
    /// Uses the stream of this server.
    pub const fn new(nats: Nats) -> Self {
        Self { nats }
    }

    /// Publishes one line without waiting until it is stored: losing a line harms no job.
    pub async fn publish(&self, tenant: &str, job: &str, line: impl Into<Bytes>) {
        if self.nats.connected_for().is_some() {
            let _ = self.nats.client.publish(subject::job_logs(tenant, job), line.into()).await;
        }
    }

    /// Deletes all lines of a tenant.
    ///
    /// # Errors
    /// When the server does not respond.
    pub async fn erase(&self, tenant: &str) -> Result<(), LogError> {
        let stream = self.nats.jetstream.get_stream_no_info(LOGS).await;
        let stream = stream.map_err(LogError::unavailable)?;
        let filter = subject::tenant_logs(tenant);
        stream.purge().filter(filter).await.map_err(LogError::unavailable)?;
        Ok(())
    }

    /// Up to `limit` lines of one job, starting at stream sequence `from`.
    ///
    /// # Errors
    /// When the server does not respond.
    pub async fn page(
        &self,
        tenant: &str,
        job: &str,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Message>, LogError> {
        let limits = PageLimits { messages: limit, bytes: usize::MAX };
        let subject = subject::job_logs(tenant, job);
        Ok(read::page(&self.nats, LOGS, &subject, from, limits).await?.messages)
    }
}
