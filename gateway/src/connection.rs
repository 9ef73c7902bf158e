//! Closes connections that are idle, or whose requests arrive too slowly. It works below HTTP, so
//! it also covers connections that have not sent a request yet.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use nix::errno::Errno;

use poem::{
    http::uri::Scheme,
    listener::Acceptor,
    web::{LocalAddr, RemoteAddr},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::connections::{ConnectionPermit, Connections};

/// An acceptor that limits and watches its connections.
pub(crate) struct Watched<A> {
    acceptor: A,
    idle_timeout: Duration,
    connections: Arc<Connections>,
}

impl<A> Watched<A> {
    pub(crate) const fn new(
        acceptor: A,
        idle_timeout: Duration,
        connections: Arc<Connections>,
    ) -> Self {
        Self { acceptor, idle_timeout, connections }
    }
}

/// Delay after a connection could not be accepted.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(50);

impl<A: Acceptor> Acceptor for Watched<A> {
    type Io = Connection<A::Io>;

    fn local_addr(&self) -> Vec<LocalAddr> {
        self.acceptor.local_addr()
    }

    async fn accept(&mut self) -> io::Result<(Self::Io, LocalAddr, RemoteAddr, Scheme)> {
        loop {
            match self.acceptor.accept().await {
                Ok((inner, local, remote, scheme)) => {
                    let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
                    let peer = remote.as_socket_addr().copied().unwrap_or(nowhere);
                    if let Some(permit) = self.connections.admit(peer) {
                        let connection = Connection::new(inner, self.idle_timeout, permit);
                        return Ok((connection, local, remote, scheme));
                    }
                }
                Err(error) => {
                    if is_exhausted(&error) {
                        tracing::warn!(%error, "a connection cannot be accepted");
                        self.connections.evict();
                    }
                    // The connection stays in the backlog: retrying immediately would only spin.
                    sleep(ACCEPT_RETRY_DELAY).await;
                }
            }
        }
    }
}

/// True if the system is out of descriptors or memory; other errors are of the connection itself.
fn is_exhausted(error: &io::Error) -> bool {
    let exhausted = [Errno::EMFILE, Errno::ENFILE, Errno::ENOBUFS, Errno::ENOMEM];
    exhausted.iter().any(|errno| error.raw_os_error() == Some(*errno as i32))
}

/// A watched connection.
pub(crate) struct Connection<T> {
    inner: T,
    idle_timeout: Duration,
    /// Fires when nothing was read or written for `idle_timeout`.
    idle_timer: Pin<Box<Sleep>>,
    /// Fires when the first request was not received in time.
    first_request_timer: Pin<Box<Sleep>>,
    /// When the first byte since the last write was received, and how many bytes since.
    unanswered: Option<(Instant, u64)>,
    permit: ConnectionPermit,
    /// Completes when the connection is evicted.
    evicted: Pin<Box<WaitForCancellationFutureOwned>>,
}

/// Timeout for the headers of a connection's first request.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a request may take at any rate: longer than a response may be waited for, so that
/// further requests on the same connection in the meantime do no harm.
const RATE_GRACE: Duration = Duration::from_secs(75);
/// The minimum average rate after that, in bytes per second.
const MIN_BYTES_PER_SECOND: u64 = 1_000;

impl<T> Connection<T> {
    fn new(inner: T, idle_timeout: Duration, permit: ConnectionPermit) -> Self {
        let evicted = Box::pin(permit.evicted().cancelled_owned());
        Self {
            inner,
            idle_timeout,
            idle_timer: Box::pin(sleep(idle_timeout)),
            first_request_timer: Box::pin(sleep(FIRST_REQUEST_TIMEOUT)),
            unanswered: None,
            permit,
            evicted,
        }
    }

    /// Resets the idle timer after a read or write.
    fn touch(&mut self) {
        let next = Instant::now().checked_add(self.idle_timeout);
        self.idle_timer.as_mut().reset(next.unwrap_or_else(Instant::now));
        self.permit.touch();
    }

    /// Ready with the reason if the connection is closed whatever is still received.
    fn poll_closed(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        if self.evicted.as_mut().poll(context).is_ready() {
            return Poll::Ready(timed_out("evicted in favour of another connection"));
        }
        let timer = self.first_request_timer.as_mut();
        if !self.permit.has_request() && timer.poll(context).is_ready() {
            return Poll::Ready(timed_out("the first request was not received in time"));
        }
        Poll::Pending
    }

    /// Counts received bytes; false if they arrive too slowly.
    fn count_received(&mut self, bytes: usize) -> bool {
        let (since, before) = self.unanswered.unwrap_or_else(|| (Instant::now(), 0));
        let received = before.saturating_add(bytes as u64);
        self.unanswered = Some((since, received));
        let counted = since.elapsed().saturating_sub(RATE_GRACE);
        received >= counted.as_secs().saturating_mul(MIN_BYTES_PER_SECOND)
    }
}

fn timed_out(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, why)
}

impl<T: AsyncRead + Unpin> AsyncRead for Connection<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Poll::Ready(error) = self.poll_closed(context) {
            return Poll::Ready(Err(error));
        }
        let before = buffer.filled().len();
        match Pin::new(&mut self.inner).poll_read(context, buffer) {
            Poll::Ready(Ok(())) => {
                self.touch();
                let received = buffer.filled().len().saturating_sub(before);
                if received > 0 && !self.count_received(received) {
                    return Poll::Ready(Err(timed_out("the request is received too slowly")));
                }
                Poll::Ready(Ok(()))
            }
            Poll::Pending => match self.idle_timer.as_mut().poll(context) {
                Poll::Ready(()) => Poll::Ready(Err(timed_out("the connection is idle"))),
                Poll::Pending => Poll::Pending,
            },
            failed @ Poll::Ready(Err(_)) => failed,
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Connection<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.inner).poll_write(context, bytes) {
            Poll::Ready(Ok(written)) => {
                self.touch();
                self.unanswered = None;
                Poll::Ready(Ok(written))
            }
            Poll::Pending if self.evicted.as_mut().poll(context).is_ready() => {
                Poll::Ready(Err(timed_out("evicted in favour of another connection")))
            }
            // A client that reads nothing of a response for this long counts as gone.
            Poll::Pending => match self.idle_timer.as_mut().poll(context) {
                Poll::Ready(()) => Poll::Ready(Err(timed_out("the connection is idle"))),
                Poll::Pending => Poll::Pending,
            },
            failed @ Poll::Ready(Err(_)) => failed,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;
    use crate::GatewayConfig;

    const IDLE: Duration = Duration::from_mins(1);
    const PEER: &str = "192.0.2.1:1";

    fn connections() -> Arc<Connections> {
        Arc::new(Connections::new(&GatewayConfig::default()))
    }

    /// A connection on which a request was already received.
    fn with_request<T>(inner: T) -> Connection<T> {
        let all = connections();
        let permit = all.admit(PEER.parse().unwrap()).unwrap();
        drop(all.begin_request(PEER.parse().unwrap()));
        Connection::new(inner, IDLE, permit)
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_is_closed() {
        let (_far, near) = duplex(64);
        let start = Instant::now();
        let mut connection = with_request(near);
        let error = connection.read_u8().await.unwrap_err();
        assert_eq!((error.kind(), start.elapsed().as_secs()), (io::ErrorKind::TimedOut, 60));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_request_is_closed_unless_it_is_being_answered() {
        for (answered, outcome) in [(false, Some(io::ErrorKind::TimedOut)), (true, None)] {
            let (mut far, near) = duplex(64);
            let mut connection = with_request(near);
            let mut seen = None;
            for _ in 0..10 {
                far.write_u8(b'x').await.unwrap();
                sleep(Duration::from_secs(10)).await;
                seen = seen.or(connection.read_u8().await.err().map(|error| error.kind()));
                if answered {
                    connection.write_u8(b'y').await.unwrap();
                }
            }
            assert_eq!(seen, outcome);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_request_must_be_received_within_its_timeout() {
        let (mut far, near) = duplex(64);
        let all = connections();
        let mut connection = Connection::new(near, IDLE, all.admit(PEER.parse().unwrap()).unwrap());
        let start = Instant::now();
        let error = loop {
            far.write_u8(b'x').await.unwrap();
            sleep(Duration::from_secs(1)).await;
            if let Err(error) = connection.read_u8().await {
                break error;
            }
        };
        assert_eq!((error.kind(), start.elapsed().as_secs()), (io::ErrorKind::TimedOut, 10));
    }

    #[tokio::test(start_paused = true)]
    async fn an_evicted_connection_ends_while_it_waits() {
        let (_far, near) = duplex(64);
        let all = connections();
        let mut connection = Connection::new(near, IDLE, all.admit(PEER.parse().unwrap()).unwrap());
        let (outcome, ()) = tokio::join!(connection.read_u8(), async { all.evict() });
        assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    /// An acceptor that first fails for lack of descriptors, and then accepts.
    struct Exhausted(u32);

    impl Acceptor for Exhausted {
        type Io = tokio::io::DuplexStream;

        fn local_addr(&self) -> Vec<LocalAddr> {
            Vec::new()
        }

        async fn accept(&mut self) -> io::Result<(Self::Io, LocalAddr, RemoteAddr, Scheme)> {
            if self.0 > 0 {
                self.0 -= 1;
                return Err(io::Error::from_raw_os_error(Errno::EMFILE as i32));
            }
            let peer: SocketAddr = PEER.parse().unwrap();
            let local = LocalAddr(poem::Addr::SocketAddr(peer));
            let remote = RemoteAddr(poem::Addr::SocketAddr(peer));
            Ok((duplex(64).1, local, remote, Scheme::HTTP))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn accepting_continues_after_descriptors_run_out() {
        let mut watched = Watched::new(Exhausted(3), IDLE, connections());
        let start = Instant::now();
        assert!(watched.accept().await.is_ok());
        assert!(start.elapsed() >= 3 * ACCEPT_RETRY_DELAY);
    }
}
