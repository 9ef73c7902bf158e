//! A connection that is worth its place: one on which nothing moves, or whose request only trickles
//! in, is broken off. It knows nothing of HTTP, so it also holds before there is any.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use poem::{
    http::uri::Scheme,
    listener::Acceptor,
    web::{LocalAddr, RemoteAddr},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

/// Whose connections are watched.
pub(crate) struct Watched<A> {
    acceptor: A,
    idle: Duration,
}

impl<A> Watched<A> {
    pub(crate) const fn new(acceptor: A, idle: Duration) -> Self {
        Self { acceptor, idle }
    }
}

impl<A: Acceptor> Acceptor for Watched<A> {
    type Io = Connection<A::Io>;

    fn local_addr(&self) -> Vec<LocalAddr> {
        self.acceptor.local_addr()
    }

    async fn accept(&mut self) -> io::Result<(Self::Io, LocalAddr, RemoteAddr, Scheme)> {
        let (inner, local, remote, scheme) = self.acceptor.accept().await?;
        Ok((Connection::new(inner, self.idle), local, remote, scheme))
    }
}

/// One of them.
pub(crate) struct Connection<T> {
    inner: T,
    idle: Duration,
    /// Fires when nothing moved for too long.
    alarm: Pin<Box<Sleep>>,
    /// When the first byte came that nothing was answered to yet, and how many came since.
    asking: Option<(Instant, u64)>,
}

/// How long a request may come as slowly as it likes: longer than an answer may be waited for, so that
/// others that come meanwhile over the same connection harm nobody.
const GRACE: Duration = Duration::from_secs(75);
/// The least bytes a second of one that takes longer.
const LEAST: u64 = 1_000;

impl<T> Connection<T> {
    fn new(inner: T, idle: Duration) -> Self {
        Self { inner, idle, alarm: Box::pin(sleep(idle)), asking: None }
    }

    fn moved(&mut self) {
        let next = Instant::now().checked_add(self.idle);
        self.alarm.as_mut().reset(next.unwrap_or_else(Instant::now));
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

    const IDLE: Duration = Duration::from_mins(1);

    #[tokio::test(start_paused = true)]
    async fn a_connection_on_which_nothing_moves_is_broken_off() {
        let (_far, near) = duplex(64);
        let start = Instant::now();
        let mut connection = Connection::new(near, IDLE);
        let error = connection.read_u8().await.unwrap_err();
        assert_eq!((error.kind(), start.elapsed().as_secs()), (io::ErrorKind::TimedOut, 60));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_trickles_in_is_broken_off_and_an_answered_one_is_not() {
        for (answered, outcome) in [(false, Some(io::ErrorKind::TimedOut)), (true, None)] {
            let (mut far, near) = duplex(64);
            let mut connection = Connection::new(near, IDLE);
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
}
