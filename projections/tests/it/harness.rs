use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use ffapi_commands::{Caller, Commands};
use ffapi_domain::{
    JobId, Personal, Tenant,
    account::{Account, AccountCommand},
    job::{Job, JobCommand, JobSpec},
    media::{Convert, MediaRequest, Overwrite},
};
use ffapi_embedded::{NatsServer, Postgres, temporary_folder};
use ffapi_nats::{AppendRequest, Codec, Log, Nats, NatsConfig, Vault, topology};
use ffapi_projections::{
    Archive, Database, JobDetail, JobList, PostgresConfig, Projection, ProjectionError, Queue,
    Runner, positions,
};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// A NATS server and a Postgres of one test, and what is connected to them.
pub(crate) struct TestServers {
    pub(crate) commands: Arc<Commands>,
    pub(crate) database: Database,
    pub(crate) nats: NatsServer,
    pub(crate) postgres: Postgres,
    _folder: TempDir,
    /// Names of the read models that were started on the event log.
    followers: Mutex<BTreeSet<&'static str>>,
}

/// A running projector.
pub(crate) struct Running {
    stop: CancellationToken,
    task: JoinHandle<Result<(), ProjectionError>>,
}

impl Running {
    pub(crate) async fn stop(self) -> Result<(), ProjectionError> {
        self.stop.cancel();
        self.task.await.unwrap()
    }

    pub(crate) async fn ended(self) -> Result<(), ProjectionError> {
        self.task.await.unwrap()
    }
}

impl TestServers {
    pub(crate) async fn new() -> Self {
        let folder = temporary_folder().unwrap();
        let nats = NatsServer::start(&folder.path().join("nats")).unwrap();
        let templates = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clusters");
        Postgres::copy_cluster(&templates, folder.path()).unwrap();
        let postgres = Postgres::start(folder.path()).unwrap();
        let config = PostgresConfig { url: postgres.url(), max_connections: 8 };
        let database = Database::connect(&config).unwrap();
        database.migrate().await.unwrap();
        let commands = Arc::new(Self::commands(&nats).await);
        Self { commands, database, nats, postgres, _folder: folder, followers: Mutex::default() }
    }

    pub(crate) async fn commands(server: &NatsServer) -> Commands {
        let nats = Nats::connect(&NatsConfig { url: server.url() }).await.unwrap();
        topology::apply(&nats).await.unwrap();
        let codec = Codec::new(Vault::open(&nats, &[1; 32]).await.unwrap());
        Commands::new(Log::open(nats).await.unwrap(), codec)
    }

    pub(crate) fn run<P: Projection + 'static>(&self, projection: P) -> Running {
        self.followers.lock().unwrap().insert(P::NAME);
        self.run_over(self.commands.log().clone(), projection)
    }

    /// Like `run`, on the event log or on the audit stream.
    pub(crate) fn run_over<P: Projection + 'static>(&self, log: Log, projection: P) -> Running {
        let stop = CancellationToken::new();
        let codec = self.commands.codec().clone();
        let runner = Runner::new(self.database.clone(), log, codec, projection);
        let token = stop.clone();
        Running { stop, task: tokio::spawn(async move { runner.run(&token).await }) }
    }

    pub(crate) fn run_all(&self) -> Vec<Running> {
        vec![self.run(JobDetail), self.run(JobList), self.run(Queue), self.run(Archive)]
    }

    /// Waits until every started read model has reached the end of the log.
    pub(crate) async fn caught_up(&self) {
        let last = self.commands.log().last_sequence().await.unwrap();
        until(async || {
            let all = positions(&self.database).await.unwrap_or_default();
            let reached = |name: &&str| {
                all.iter().any(|model| model.name == **name && model.position >= last)
            };
            // One that was just started may not have a checkpoint yet.
            self.followers.lock().unwrap().iter().all(reached)
        })
        .await;
    }

    pub(crate) async fn submit(&self, n: u128, tenant: &Tenant) -> JobId {
        let id = job(n);
        self.handle(id, tenant, JobCommand::Submit { spec: spec() }).await;
        id
    }

    /// Appends a message with arbitrary bytes to a subject; returns its sequence.
    pub(crate) async fn append(&self, subject: &str, payload: &[u8]) -> u64 {
        let expected = self.commands.log().last_matching(subject).await.unwrap();
        let request = AppendRequest {
            subject: subject.to_owned(),
            expected,
            command_id: Uuid::now_v7(),
            payload: payload.to_vec().into(),
        };
        self.commands.log().append(request).await.unwrap()
    }

    /// Deletes a tenant's data key, and appends the erasure to the log.
    pub(crate) async fn erase(&self, tenant: &Tenant) {
        let name = tenant.as_str();
        let vault = Vault::open(self.commands.log().nats(), &[1; 32]).await.unwrap();
        vault.erase(name).await.unwrap();
        self.commands.forget(name).await;
        let (caller, command) = (Caller::process("test"), AccountCommand::Erase);
        self.commands.handle::<Account>(name, name, &caller, command).await.unwrap();
    }

    pub(crate) async fn pool(&self) -> sqlx::PgPool {
        sqlx::PgPool::connect(&self.postgres.url()).await.unwrap()
    }

    /// The parked messages: read model, sequence and reason.
    pub(crate) async fn parked(&self) -> Vec<(String, i64, String)> {
        sqlx::query_as(
            "SELECT name, sequence, error FROM projection_parked ORDER BY name, sequence",
        )
        .fetch_all(&self.pool().await)
        .await
        .unwrap()
    }

    pub(crate) async fn handle(&self, id: JobId, tenant: &Tenant, command: JobCommand) {
        let caller = Caller::process("test");
        self.commands
            .handle::<Job>(tenant.as_str(), &id.to_string(), &caller, command)
            .await
            .unwrap();
    }
}

pub(crate) fn job(n: u128) -> JobId {
    JobId::from_uuid(Uuid::from_u128(n))
}

pub(crate) fn tenant(name: &str) -> Tenant {
    name.parse().unwrap()
}

pub(crate) fn spec() -> Box<JobSpec> {
    Box::new(JobSpec {
        metadata: Personal::Clear([("album".to_owned(), "one".to_owned())].into()),
        ..JobSpec::of(MediaRequest::Convert(Convert {
            input: Personal::Clear("in.mp4".parse().unwrap()),
            output: Personal::Clear("out.mp4".parse().unwrap()),
            operations: vec![],
            overwrite: Overwrite::Fail,
        }))
    })
}

/// Polls until a condition is true.
pub(crate) async fn until(mut condition: impl AsyncFnMut() -> bool) {
    while !condition().await {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
