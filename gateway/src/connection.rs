//! A connection that is worth its place: one on which nothing moves, or whose request only trickles
//! in, is broken off. It knows nothing of HTTP, so it also holds before there is any.

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

use crate::connections::{Connections, Place};

/// Whose connections are watched.
pub(crate) struct Watched<A> {
    acceptor: A,
    idle: Duration,
    connections: Arc<Connections>,
}

impl<A> Watched<A> {
    pub(crate) const fn new(acceptor: A, idle: Duration, connections: Arc<Connections>) -> Self {
        Self { acceptor, idle, connections }
    }
}

/// How long to wait with the next one when this one could not be had.
const AGAIN: Duration = Duration::from_millis(50);

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
                    if let Some(place) = self.connections.admit(peer) {
                        let connection = Connection::new(inner, self.idle, place);
                        return Ok((connection, local, remote, scheme));
                    }
                }
                Err(error) => {
                    if is_exhausted(&error) {
                        tracing::warn!(%error, "a connection cannot be taken");
                        self.connections.give_way();
                    }
                    // It stays in the queue: asking again at once would only be busy.
                    sleep(AGAIN).await;
                }
            }
        }
    }
}

/// True if the system has no room for another one, as opposed to one that is gone already.
fn is_exhausted(error: &io::Error) -> bool {
    let full = [Errno::EMFILE, Errno::ENFILE, Errno::ENOBUFS, Errno::ENOMEM];
    full.iter().any(|full| error.raw_os_error() == Some(*full as i32))
}

/// One of them.
pub(crate) struct Connection<T> {
    inner: T,
    idle: Duration,
    /// Fires when nothing moved for too long.
    alarm: Pin<Box<Sleep>>,
    /// Fires when the first request took too long to come, headers and all.
    first: Pin<Box<Sleep>>,
    /// When the first byte came that nothing was answered to yet, and how many came since.
    asking: Option<(Instant, u64)>,
    place: Place,
    /// Ends when this one is to give way to another.
    ended: Pin<Box<WaitForCancellationFutureOwned>>,
}

/// How long the headers of a connection's first request may take to come.
const FIRST: Duration = Duration::from_secs(10);
/// How long a request may come as slowly as it likes: longer than an answer may be waited for, so that
/// others that come meanwhile over the same connection harm nobody.
const GRACE: Duration = Duration::from_secs(75);
/// The least bytes a second of one that takes longer.
const LEAST: u64 = 1_000;

impl<T> Connection<T> {
    fn new(inner: T, idle: Duration, place: Place) -> Self {
        let (alarm, first) = (Box::pin(sleep(idle)), Box::pin(sleep(FIRST)));
        let ended = Box::pin(place.ended().cancelled_owned());
        Self { inner, idle, alarm, first, asking: None, place, ended }
    }

    fn moved(&mut self) {
        let next = Instant::now().checked_add(self.idle);
        self.alarm.as_mut().reset(next.unwrap_or_else(Instant::now));
        self.place.moved();
    }

    /// Why it is not waited for any longer, whatever still comes.
    fn poll_over(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        if self.ended.as_mut().poll(context).is_ready() {
            return Poll::Ready(timed_out("it gives way to another connection"));
        }
        if !self.place.has_asked() && self.first.as_mut().poll(context).is_ready() {
            return Poll::Ready(timed_out("the first request does not come"));
        }
        Poll::Pending
    }

    /// Counts what came in; false if it comes too slowly.
    fn came(&mut self, bytes: usize) -> bool {
        let (since, before) = self.asking.unwrap_or_else(|| (Instant::now(), 0));
        let all = before.saturating_add(bytes as u64);
        self.asking = Some((since, all));
        let late = since.elapsed().saturating_sub(GRACE);
        all >= late.as_secs().saturating_mul(LEAST)
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
        if let Poll::Ready(error) = self.poll_over(context) {
            return Poll::Ready(Err(error));
        }
        let before = buffer.filled().len();
        match Pin::new(&mut self.inner).poll_read(context, buffer) {
            Poll::Ready(Ok(())) => {
                self.moved();
                let came = buffer.filled().len().saturating_sub(before);
                if came > 0 && !self.came(came) {
                    return Poll::Ready(Err(timed_out("the request comes too slowly")));
                }
                Poll::Ready(Ok(()))
            }
            Poll::Pending => match self.alarm.as_mut().poll(context) {
                Poll::Ready(()) => Poll::Ready(Err(timed_out("nothing moves"))),
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
                self.moved();
                self.asking = None;
                Poll::Ready(Ok(written))
            }
            Poll::Pending if self.ended.as_mut().poll(context).is_ready() => {
                Poll::Ready(Err(timed_out("it gives way to another connection")))
            }
            // Who takes nothing for so long of what is being sent is not there any more.
            Poll::Pending => match self.alarm.as_mut().poll(context) {
                Poll::Ready(()) => Poll::Ready(Err(timed_out("nothing moves"))),
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

    /// A connection over which a request came already.
    fn asked<T>(inner: T) -> Connection<T> {
        let all = connections();
        let place = all.admit(PEER.parse().unwrap()).unwrap();
        drop(all.asked(PEER.parse().unwrap()));
        Connection::new(inner, IDLE, place)
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_on_which_nothing_moves_is_broken_off() {
        let (_far, near) = duplex(64);
        let start = Instant::now();
        let mut connection = asked(near);
        let error = connection.read_u8().await.unwrap_err();
        assert_eq!((error.kind(), start.elapsed().as_secs()), (io::ErrorKind::TimedOut, 60));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_trickles_in_is_broken_off_and_an_answered_one_is_not() {
        for (answered, outcome) in [(false, Some(io::ErrorKind::TimedOut)), (true, None)] {
            let (mut far, near) = duplex(64);
            let mut connection = asked(near);
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
    async fn the_first_request_comes_within_seconds_however_it_trickles() {
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
    async fn one_that_is_to_give_way_ends_while_it_waits() {
        let (_far, near) = duplex(64);
        let all = connections();
        let mut connection = Connection::new(near, IDLE, all.admit(PEER.parse().unwrap()).unwrap());
        let (outcome, ()) = tokio::join!(connection.read_u8(), async { all.give_way() });
        assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    /// A listener that first has no descriptor left, then a caller.
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
    async fn want_of_descriptors_does_not_end_the_listening() {
        let mut watched = Watched::new(Exhausted(3), IDLE, connections());
        let start = Instant::now();
        assert!(watched.accept().await.is_ok());
        assert!(start.elapsed() >= 3 * AGAIN);
    }
}
