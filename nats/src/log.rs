use tokio::sync::{mpsc, oneshot};

use crate::{
    AppendError, AppendRequest, LogError, Message, Nats, Reader,
    append::{self, Pending},
    read::{self, Source},
    topology::{self, AUDIT, EVENTS, LogIdentity},
};

/// The event log.
#[derive(Debug, Clone)]
pub struct Log {
    nats: Nats,
    identity: LogIdentity,
    queue: mpsc::Sender<Pending>,
    stream: &'static str,
}

/// Appends that may wait for their turn before callers have to.
const QUEUE: usize = 4096;

impl Log {
    /// Opens the log after checking that the server holds what we want.
    ///
    /// # Errors
    /// When the topology is missing or differs, or the server does not answer.
    pub async fn open(nats: Nats) -> Result<Self, LogError> {
        let identity = topology::check(&nats).await?;
        let (queue, receiver) = mpsc::channel(QUEUE);
        tokio::spawn(append::run(nats.clone(), receiver));
        Ok(Self { nats, identity, queue, stream: EVENTS })
    }

    /// The notes beside it, read in the same way. Of these the oldest are forgotten.
    #[must_use]
    pub fn notes(&self) -> Self {
        Self { stream: AUDIT, ..self.clone() }
    }

    /// True if its oldest messages may be gone.
    pub fn forgets(&self) -> bool {
        self.stream != EVENTS
    }

    /// The connection below.
    pub const fn nats(&self) -> &Nats {
        &self.nats
    }

    /// Which log this is.
    pub const fn identity(&self) -> &LogIdentity {
        &self.identity
    }

    /// Stores one decision if nobody else appended to its subject; answers its sequence.
    ///
    /// An unclear answer is pursued by the command id: `Ok` means stored, `Conflict` means not.
    ///
    /// # Errors
    /// `Conflict` when the aggregate moved on; `Log` when nobody answers, outcome unknown.
    pub async fn append(&self, draft: AppendRequest) -> Result<u64, AppendError> {
        let (reply, outcome) = oneshot::channel();
        let gone = || LogError::unavailable("the appender is gone");
        self.queue.send(Pending { draft, reply }).await.map_err(|_| gone())?;
        outcome.await.map_err(|_| gone())?
    }

    /// Reads one aggregate's messages from a sequence on.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn load(&self, subject: &str, from: u64) -> Result<Vec<Message>, LogError> {
        read::load(&self.nats, self.stream, subject, from).await
    }

    /// Reads everything on the subjects that match `filter`, up to a sequence.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn load_matching(&self, filter: &str, up_to: u64) -> Result<Vec<Message>, LogError> {
        let mut messages = read::load(&self.nats, self.stream, filter, 1).await?;
        messages.retain(|message| message.sequence <= up_to);
        Ok(messages)
    }

    /// Reads at most so many messages on the subjects that match `filter`, from a sequence on.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn page(
        &self,
        filter: &str,
        from: u64,
        most: usize,
    ) -> Result<Vec<Message>, LogError> {
        read::page(&self.nats, self.stream, filter, from, most).await
    }

    /// Follows the whole log from a sequence on.
    pub fn follow(&self, from: u64) -> Reader {
        let all = if self.forgets() { "audit.>" } else { "ev.>" };
        let source =
            Source { stream: self.stream, filters: vec![all.to_owned()], whole: !self.forgets() };
        Reader::new(self.nats.clone(), source, from)
    }

    /// Follows the subjects that match any of `filters` from a sequence on.
    pub fn follow_only(&self, filters: &[&str], from: u64) -> Reader {
        let filters = filters.iter().copied().map(str::to_owned).collect();
        let source = Source { stream: self.stream, filters, whole: false };
        Reader::new(self.nats.clone(), source, from)
    }

    /// The sequence of the newest message on the subjects that match `filter`; 0 for none.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn last_matching(&self, filter: &str) -> Result<u64, LogError> {
        Ok(self.newest(filter).await?.map_or(0, |message| message.sequence))
    }

    /// The newest message on the subjects that match `filter`, if there is one.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn newest(&self, filter: &str) -> Result<Option<Message>, LogError> {
        read::newest(&self.nats, self.stream, filter).await
    }

    /// The newest sequence; 0 for an empty log.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn last_sequence(&self) -> Result<u64, LogError> {
        let stream = self.nats.answer(self.nats.jetstream.get_stream(self.stream)).await?;
        Ok(stream.cached_info().state.last_sequence)
    }

    /// The message at a sequence, if there is one.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn at(&self, sequence: u64) -> Result<Option<Message>, LogError> {
        let stream = self
            .nats
            .jetstream
            .get_stream_no_info(self.stream)
            .await
            .map_err(LogError::unavailable)?;
        match stream.direct_get(sequence).await {
            Ok(message) => Ok(Some(Message {
                sequence,
                subject: message.subject.into_string(),
                payload: message.payload,
                pending: 0,
            })),
            Err(error)
                if error.kind() == async_nats::jetstream::stream::DirectGetErrorKind::NotFound =>
            {
                Ok(None)
            }
            Err(error) => Err(LogError::unavailable(error)),
        }
    }
}
