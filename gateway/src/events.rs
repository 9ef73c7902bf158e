//! Job events as they are appended, for everybody who waits for one.

use nats::Message;
use std::sync::Arc;
use tokio::sync::broadcast;

/// One tail of the log, shared by every stream and every `Prefer: wait` of this gateway.
#[derive(Debug)]
pub(crate) struct Hub {
    sender: broadcast::Sender<Arc<Message>>,
}

impl Default for Hub {
    fn default() -> Self {
        Self { sender: broadcast::Sender::new(4096) }
    }
}

impl Hub {
    pub(crate) fn hear(&self, message: Message) {
        // Nobody may be waiting.
        let _ = self.sender.send(Arc::new(message));
    }

    pub(crate) fn listen(&self) -> broadcast::Receiver<Arc<Message>> {
        self.sender.subscribe()
    }
}

/// Waits for the next message on a subject; a listener that fell behind is told to look again.
pub(crate) async fn next_on(
    listener: &mut broadcast::Receiver<Arc<Message>>,
    subject: &str,
) -> Option<Arc<Message>> {
    loop {
        match listener.recv().await {
            Ok(message) if message.subject == subject => return Some(message),
            Ok(_) => {}
            Err(broadcast::error::RecvError::Lagged(_)) => return None,
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}
