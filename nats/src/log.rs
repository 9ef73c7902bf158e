use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_nats::jetstream::stream::Info;
use tokio::sync::{mpsc, oneshot};
use tracing::Instrument;

use crate::{
    AppendError, AppendRequest, LogError, Message, Nats, Reader, Record,
    append::{self, Pending},
    metrics::{self, AppendOutcome, Operation, StreamState},
    read::{self, Page, PageLimits, Source},
    subject,
    topology::{self, AUDIT, EVENTS, LogIdentity},
    trace::append_span,
};

/// The event log.
#[derive(Debug, Clone)]
pub struct Log {
    nats: Nats,
    identity: LogIdentity,
    queue: mpsc::Sender<Pending>,
    stream: &'static str,
}

/// Capacity of the append queue; callers wait while it is full.
const APPEND_QUEUE_CAPACITY: usize = 4096;

impl Log {
    /// Opens the log after checking the topology, and starts the task that appends.
    ///
    /// # Errors
    /// When the topology is missing or differs, or the server does not respond.
    pub async fn open(nats: Nats) -> Result<Self, LogError> {
        let identity = topology::check_at_start(&nats).await?;
        let (queue, receiver) = mpsc::channel(APPEND_QUEUE_CAPACITY);
        tokio::spawn(append::run(nats.clone(), receiver));
        metrics::observe(&nats, &queue);
        Ok(Self { nats, identity, queue, stream: EVENTS })
    }

    /// The audit stream, read through the same interface. Its oldest messages are discarded.
    #[must_use]
    pub fn notes(&self) -> Self {
        Self { stream: AUDIT, ..self.clone() }
    }

    /// The name of the stream.
    pub const fn stream(&self) -> &'static str {
        self.stream
    }

    /// True if the stream discards its oldest messages.
    pub fn discards_old(&self) -> bool {
        self.stream != EVENTS
    }

    /// The underlying connection.
    pub const fn nats(&self) -> &Nats {
        &self.nats
    }

    /// Log id and epoch.
    pub const fn identity(&self) -> &LogIdentity {
        &self.identity
    }

    /// Appends one decision if its subject's last sequence is the expected one; returns its
    /// sequence.
    ///
    /// After a lost response the message is looked up by its command id: `Ok` means stored,
    /// `Conflict` means not stored.
    ///
    /// # Errors
    /// `Conflict` when the aggregate has newer messages; `Log` when the server does not respond:
    /// the outcome is unknown.
    pub async fn append(&self, request: AppendRequest) -> Result<u64, AppendError> {
        let start = Instant::now();
        let span = append_span(&request.subject);
        let outcome = self.enqueue(request).instrument(span.clone()).await;
        let how = AppendOutcome::of(&outcome);
        span.record("ffapi.log.outcome", how.name());
        if let Ok(sequence) = outcome {
            span.record("ffapi.log.sequence", sequence);
        }
        metrics::appended(start.elapsed(), how);
        outcome
    }

    async fn enqueue(&self, request: AppendRequest) -> Result<u64, AppendError> {
        let (reply, outcome) = oneshot::channel();
        let gone = || LogError::unavailable("the append task has ended");
        self.queue.send(Pending { request, reply }).await.map_err(|_| gone())?;
        outcome.await.map_err(|_| gone())?
    }

    /// Reads the messages of one subject, starting at stream sequence `from`.
    ///
    /// # Errors
    /// When the server does not respond.
    pub async fn load(&self, subject: &str, from: u64) -> Result<Vec<Message>, LogError> {
        read::load(&self.nats, self.stream, subject, from).await
    }

    /// Reads up to `limit` messages on the subjects that match `filter`, starting at stream
    /// sequence `from`.
    ///
    /// # Errors
    /// When the server does not respond.
    pub async fn page(
        &self,
        filter: &str,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Message>, LogError> {
        let limits = PageLimits { messages: limit, bytes: usize::MAX };
        Ok(self.page_within(filter, from, limits).await?.messages)
    }

    /// Reads messages on the subjects that match `filter`, starting at stream sequence `from`, up to
    /// a number and a size.
    ///
    /// # Errors
    /// When the server does not respond.
    pub async fn page_within(
        &self,
        filter: &str,
        from: u64,
        limits: PageLimits,
    ) -> Result<Page, LogError> {
        read::page(&self.nats, self.stream, filter, from, limits).await
    }

    /// Follows the whole stream, starting at stream sequence `from`.
    pub fn follow(&self, from: u64) -> Reader {
        let all = if self.discards_old() { subject::ALL_NOTES } else { subject::ALL_DECISIONS };
        let source = Source {
            stream: self.stream,
            filters: vec![all.to_owned()],
            contiguous: !self.discards_old(),
        };
        Reader::new(self.nats.clone(), source, from)
    }

    /// Follows the subjects that match any of `filters`, starting at stream sequence `from`.
    pub fn follow_only(&self, filters: impl Into<Vec<String>>, from: u64) -> Reader {
        let filters = filters.into();
        let source = Source { stream: self.stream, filters, contiguous: false };
        Reader::new(self.nats.clone(), source, from)
    }

    /// The sequence of the newest message on the subjects that match `filter`; 0 if there is none.
    ///
    /// # Errors
    /// When the server does not respond.
    pub async fn last_matching(&self, filter: &str) -> Result<u64, LogError> {
        Ok(self.newest(filter).await?.map_or(0, |message| message.sequence))
    }

    /// The newest message on the subjects that match `filter`, if there is one.
    ///
    /// # Errors
    /// When the server does not respond.
    pub async fn newest(&self, filter: &str) -> Result<Option<Message>, LogError> {
        read::newest(&self.nats, self.stream, filter).await
    }

    /// The newest sequence; 0 if the log is empty.
    ///
    /// # Errors
    /// When the server does not respond.
    pub async fn last_sequence(&self) -> Result<u64, LogError> {
        Ok(self.state().await?.last_sequence)
    }

    /// The state of the stream.
    ///
    /// # Errors
    /// When the server does not respond.
    pub async fn state(&self) -> Result<StreamState, LogError> {
        let asking = self.nats.await_response(self.nats.jetstream.get_stream(self.stream));
        let stream = metrics::timed(Operation::Info, self.stream, asking).await?;
        let Info { state, config, cluster, .. } = stream.cached_info();
        self.nats.found_replicas(config.num_replicas);
        // The server that answered is not among the peers.
        let peers = cluster.iter().flat_map(|cluster| &cluster.replicas);
        let current_replicas =
            1 + peers.filter(|peer| peer.current && !peer.offline).count() as u64;
        let state = StreamState {
            last_sequence: state.last_sequence,
            bytes: state.bytes,
            replicas: config.num_replicas as u64,
            current_replicas,
        };
        metrics::stream_state(self.stream, state);
        Ok(state)
    }

    /// When the first message at or after a sequence was stored; none if there is none.
    ///
    /// # Errors
    /// When the server does not respond.
    pub async fn stored_at(&self, from: u64) -> Result<Option<SystemTime>, LogError> {
        let records = read::records(&self.nats, self.stream, from, 1).await?;
        let at = |record: &Record| UNIX_EPOCH + Duration::from_millis(record.at);
        Ok(records.first().map(at))
    }

    /// The message at a sequence, if there is one.
    ///
    /// # Errors
    /// When the server does not respond.
    pub async fn at(&self, sequence: u64) -> Result<Option<Message>, LogError> {
        read::at(&self.nats, self.stream, sequence).await
    }
}
