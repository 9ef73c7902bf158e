use std::{io, net::Ipv4Addr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};

/// What a proxy does with connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Forwards everything.
    None,
    /// Resets every connection, also those that are open.
    Reset,
    /// Accepts connections and never answers.
    Silent,
    /// Answers every request with `503 Slow Down` and `Retry-After: 1`.
    Busy,
    /// Ends every answer after so many bytes.
    Truncate(u64),
    /// Forwards so many bytes of each answer a second, at most.
    Slow(u64),
}

/// A proxy before a server, whose connections fail as a test wants.
#[derive(Debug)]
pub struct FaultProxy {
    port: u16,
    fault: watch::Sender<Fault>,
    serving: JoinHandle<()>,
}

const BUSY: &[u8] = b"HTTP/1.1 503 Slow Down\r\nretry-after: 1\r\ncontent-length: 0\r\n\
                      connection: close\r\n\r\n";

impl FaultProxy {
    /// Starts a proxy before a server at `http://127.0.0.1:<port>`, without a fault.
    ///
    /// # Errors
    /// When no port can be bound, or the URL has none.
    pub async fn before(url: &str) -> io::Result<Self> {
        let port = url.rsplit(':').next().and_then(|port| port.parse().ok());
        let target: u16 = port.ok_or(io::ErrorKind::InvalidInput)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let (fault, faults) = watch::channel(Fault::None);
        let serving = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let mut faults = faults.clone();
                connections.spawn(async move {
                    let fault = *faults.borrow_and_update();
                    tokio::select! {
                        served = serve(client, target, fault) => served,
                        // The connection ends with the state it was made in.
                        _ = faults.changed() => Ok(()),
                    }
                });
            }
        });
        Ok(Self { port, fault, serving })
    }

    /// The proxy's URL.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Changes what happens from now on; open connections are closed.
    pub fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(mut client: TcpStream, target: u16, fault: Fault) -> io::Result<()> {
    match fault {
        Fault::Reset => client.set_zero_linger(),
        Fault::Silent => std::future::pending().await,
        Fault::Busy => {
            let mut request = [0; 4096];
            let _ = client.read(&mut request).await?;
            client.write_all(BUSY).await
        }
        Fault::None | Fault::Truncate(_) | Fault::Slow(_) => {
            let server = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await?;
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = server.into_split();
            let sending = async {
                copy(&mut from_client, &mut to_server).await?;
                to_server.shutdown().await
            };
            let answering = async {
                match fault {
                    Fault::Truncate(bytes) => {
                        copy(&mut from_server.take(bytes), &mut to_client).await?;
                        Err(io::ErrorKind::ConnectionReset.into())
                    }
                    Fault::Slow(bytes) => slowly(from_server, to_client, bytes).await,
                    _ => copy(&mut from_server, &mut to_client).await.map(drop),
                }
            };
            tokio::try_join!(sending, answering).map(drop)
        }
    }
}

async fn slowly(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    bytes_per_second: u64,
) -> io::Result<()> {
    const TICK: Duration = Duration::from_millis(100);
    let mut tick = tokio::time::interval(TICK);
    loop {
        tick.tick().await;
        let mut part = Vec::new();
        let length = bytes_per_second.div_ceil(10);
        if (&mut from).take(length).read_to_end(&mut part).await? == 0 {
            return Ok(());
        }
        to.write_all(&part).await?;
    }
}
