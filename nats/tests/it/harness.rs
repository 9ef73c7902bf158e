use bytes::Bytes;
use ffapi_embedded::{NatsServer, temporary_folder};
use ffapi_nats::{AppendRequest, Log, Nats, NatsConfig, topology};
use tempfile::TempDir;
use uuid::Uuid;

/// A log on a NATS server of its own.
pub(crate) struct TestLog {
    pub(crate) log: Log,
    pub(crate) nats: Nats,
    pub(crate) server: NatsServer,
    _folder: TempDir,
}

impl TestLog {
    /// A server without the topology.
    pub(crate) async fn bare_server() -> (Nats, NatsServer, TempDir) {
        let folder = temporary_folder().unwrap();
        let server = NatsServer::start(folder.path()).unwrap();
        let nats = Nats::connect(&NatsConfig { url: server.url() }).await.unwrap();
        (nats, server, folder)
    }

    pub(crate) async fn new() -> Self {
        let (nats, server, folder) = Self::bare_server().await;
        topology::apply(&nats).await.unwrap();
        let log = Log::open(nats.clone()).await.unwrap();
        Self { log, nats, server, _folder: folder }
    }
}

pub(crate) fn request(id: &str, expected: u64, text: &str) -> AppendRequest {
    AppendRequest {
        subject: format!("ev.job.acme.{id}"),
        expected,
        command_id: Uuid::now_v7(),
        payload: Bytes::from(text.to_owned()),
    }
}
