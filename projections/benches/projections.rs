//! The lag of read models at 1,000 events per second, and the speed of a rebuild compared with a
//! bare loop that writes the same rows.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints its results, and fails by panicking"
)]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ffapi_commands::{Caller, Commands};
use ffapi_domain::{
    JobId, Personal,
    job::{Job, JobCommand, JobSpec},
    media::{Convert, MediaRequest, Overwrite},
};
use ffapi_embedded::{NatsServer, Postgres, temporary_folder};
use ffapi_nats::{Codec, Log, Nats, NatsConfig, PubSub, Vault, topology};
use ffapi_projections::{
    Archive, Database, JobDetail, JobList, PostgresConfig, Projection, Queue, Rebuild, Runner,
    position_subject,
};
use futures::{StreamExt, stream};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const LAG_EVENTS: u32 = 5_000;
const REBUILD_EVENTS: u32 = 50_000;

struct TestServers {
    commands: Arc<Commands>,
    database: Database,
    nats: Nats,
}

impl TestServers {
    fn log(&self) -> (Log, Codec) {
        (self.commands.log().clone(), self.commands.codec().clone())
    }

    fn follow<P: Projection + 'static>(&self, projection: P, stop: &CancellationToken) {
        let (log, codec) = self.log();
        let runner = Runner::new(self.database.clone(), log, codec, projection);
        let stop = stop.clone();
        tokio::spawn(async move { runner.run(&stop).await.unwrap() });
    }

    /// Time from the response to an append until a read model published a position at or after it.
    async fn lag(&self) {
        let stop = CancellationToken::new();
        self.follow(JobDetail, &stop);
        self.follow(JobList, &stop);
        self.follow(Queue, &stop);
        self.follow(Archive, &stop);
        let pub_sub = PubSub::new(self.nats.clone());
        let mut positions = pub_sub.subscribe(position_subject(JobDetail::NAME)).await.unwrap();
        let (sender, mut appended) = tokio::sync::mpsc::unbounded_channel();
        let receiver = tokio::spawn(async move {
            let mut reached: Vec<(u64, Instant)> = Vec::new();
            while reached.last().is_none_or(|(at, _)| *at < u64::from(LAG_EVENTS)) {
                let message = positions.next().await.unwrap();
                let at = std::str::from_utf8(&message.payload).unwrap().parse().unwrap();
                reached.push((at, Instant::now()));
            }
            reached
        });
        let mut interval = tokio::time::interval(Duration::from_millis(1));
        for _ in 0..LAG_EVENTS {
            interval.tick().await;
            let (commands, sender) = (Arc::clone(&self.commands), sender.clone());
            tokio::spawn(async move {
                let sequence = submit(&commands).await;
                sender.send((sequence, Instant::now())).unwrap();
            });
        }
        drop(sender);
        let reached = receiver.await.unwrap();
        let mut lags = Vec::new();
        while let Some((sequence, at)) = appended.recv().await {
            let (_, seen) = reached.iter().find(|(reached, _)| *reached >= sequence).unwrap();
            lags.push(seen.saturating_duration_since(at));
        }
        lags.sort();
        let percentile = |n: usize| lags.get(lags.len() * n / 100).unwrap().as_secs_f64() * 1000.0;
        println!(
            "projection lag at 1,000 events/s, four read models|p50 {:.1} ms, p99 {:.1} ms|p99 <= 50 ms",
            percentile(50),
            percentile(99)
        );
        stop.cancel();
    }

    /// Rebuilds a read model; returns events per second.
    async fn rebuild_rate<P: Projection>(&self, projection: P) -> f64 {
        let (log, codec) = self.log();
        let start = Instant::now();
        let rebuild = Rebuild::begin(self.database.clone(), log, codec, projection).await.unwrap();
        let events = rebuild.catch_up().await.unwrap();
        let rate = f64::from(u32::try_from(events).unwrap()) / start.elapsed().as_secs_f64();
        rebuild.switch().await.unwrap();
        rate
    }
}

/// Submits one job, which is one event; returns its sequence.
async fn submit(commands: &Commands) -> u64 {
    let spec = Box::new(JobSpec {
        metadata: Personal::Clear([("album".to_owned(), "one".to_owned())].into()),
        ..JobSpec::of(MediaRequest::Convert(Convert {
            input: Personal::Clear("in.mp4".parse().unwrap()),
            output: Personal::Clear("out.mp4".parse().unwrap()),
            operations: vec![],
            overwrite: Overwrite::Fail,
        }))
    });
    let id = JobId::from_uuid(Uuid::now_v7()).to_string();
    let caller = Caller::process("bench");
    let command = JobCommand::Submit { spec };
    let handled = commands.handle::<Job>("acme", &id, &caller, command).await.unwrap();
    handled.position.sequence
}

/// A bare loop that writes as many detail rows of the same size, 1,000 at a time; returns rows per
/// second.
async fn bare_loop(url: &str) -> f64 {
    let pool = sqlx::PgPool::connect(url).await.unwrap();
    sqlx::query("CREATE TABLE bare (LIKE job_detail INCLUDING ALL)").execute(&pool).await.unwrap();
    let doc: serde_json::Value =
        sqlx::query_scalar("SELECT doc FROM job_detail LIMIT 1").fetch_one(&pool).await.unwrap();
    let mut connection = pool.acquire().await.unwrap();
    sqlx::query("SET synchronous_commit = off").execute(&mut *connection).await.unwrap();
    let start = Instant::now();
    for from in (0..REBUILD_EVENTS).step_by(1000) {
        let numbers: Vec<i64> = (i64::from(from)..i64::from(from) + 1000).collect();
        sqlx::query(
            "INSERT INTO bare (id, tenant, sequence, doc)
             SELECT * FROM UNNEST($1::text[], $2::text[], $3::bigint[], $4::jsonb[])",
        )
        .bind(numbers.iter().map(|n| format!("job_{n:032}")).collect::<Vec<_>>())
        .bind(vec!["acme"; numbers.len()])
        .bind(&numbers)
        .bind(vec![doc.clone(); numbers.len()])
        .execute(&mut *connection)
        .await
        .unwrap();
    }
    let rate = f64::from(REBUILD_EVENTS) / start.elapsed().as_secs_f64();
    sqlx::query("DROP TABLE bare").execute(&pool).await.unwrap();
    rate
}

#[tokio::main]
async fn main() {
    let folder = temporary_folder().unwrap();
    let server = NatsServer::start(&folder.path().join("nats")).unwrap();
    let postgres = Postgres::start(folder.path()).unwrap();
    let config = PostgresConfig { url: postgres.url(), max_connections: 8 };
    let database = Database::connect(&config).unwrap();
    database.migrate().await.unwrap();
    let nats = Nats::connect(&NatsConfig { url: server.url() }).await.unwrap();
    topology::apply(&nats).await.unwrap();
    let codec = Codec::new(Vault::open(&nats, &[1; 32]).await.unwrap());
    let commands = Arc::new(Commands::new(Log::open(nats.clone()).await.unwrap(), codec));
    let servers = TestServers { commands, database, nats };
    servers.lag().await;
    let missing = REBUILD_EVENTS - LAG_EVENTS;
    let submissions =
        stream::iter(0..missing).map(|_| submit(&servers.commands)).buffer_unordered(256);
    submissions.for_each(|_| async {}).await;
    for (name, rate) in [
        (JobDetail::NAME, servers.rebuild_rate(JobDetail).await),
        (JobList::NAME, servers.rebuild_rate(JobList).await),
        (Queue::NAME, servers.rebuild_rate(Queue).await),
        (Archive::NAME, servers.rebuild_rate(Archive).await),
    ] {
        let bare = bare_loop(&postgres.url()).await;
        println!(
            "rebuild of {name} / bare UNNEST loop|{:.2} ({rate:.0}/s / {bare:.0}/s)|>= 0.5, >= 40,000/s",
            rate / bare
        );
    }
}
