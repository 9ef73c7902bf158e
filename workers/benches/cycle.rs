//! Jobs a second through the commands API with 64 slots that do nothing: submit, dispatch, start,
//! seal, complete, ack, projected. With `FFAPI_BENCH_METRICS`, metrics are recorded as in a service.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench reports, and fails by panicking"
)]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ffapi_commands::{Caller, Commands};
use ffapi_domain::{
    BatchId, Decider, JobId, Personal, Tenant,
    account::{Limits, Tiers},
    batch::{Batch, BatchCommand, BatchJob, BatchSpec},
    dispatch::Release,
    job::{Job, JobCommand, JobSpec},
    live::WorkerHeartbeat,
    media::{Capabilities, Convert, MediaRequest, Overwrite, Pool},
};
use ffapi_embedded::{NatsServer, Postgres, temporary_folder};
use ffapi_nats::{Codec, Log, Nats, NatsConfig, PubSub, Task, Vault, Work, subject, topology};
use ffapi_projections::{
    Archive, Database, JobDetail, JobList, PostgresConfig, Projection, Queue, Runner, queue,
};
use ffapi_workers::{Conductor, SchedulingConfig};
use futures::{StreamExt, stream};
use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeValLike,
};
use opentelemetry_sdk::metrics::SdkMeterProvider;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const SLOTS: usize = 64;
const JOBS: u32 = 10_000;
/// As many as a batch may have.
const BATCH: usize = 1_000;
/// Dispatch is measured on so many, one at a time.
const SINGLE: usize = 200;

async fn tell(commands: &Commands, id: &str, command: JobCommand) {
    let caller = Caller::process("bench");
    commands.handle::<Job>("acme", id, &caller, command).await.unwrap();
}

fn spec() -> JobSpec {
    JobSpec {
        metadata: Personal::Clear([].into()),
        ..JobSpec::of(MediaRequest::Convert(Convert {
            input: Personal::Clear("in.mp4".parse().unwrap()),
            output: Personal::Clear("out.mp4".parse().unwrap()),
            operations: vec![],
            overwrite: Overwrite::Fail,
        }))
    }
}

async fn submit(commands: &Commands, id: &str) {
    tell(commands, id, JobCommand::Submit { spec: Box::new(spec()) }).await;
}

/// One message for all of it, then its jobs as a gateway carries it out, to the batch's own end.
async fn batch(commands: &Commands) {
    let job = |_| BatchJob { id: JobId::from_uuid(Uuid::now_v7()), spec: spec() };
    let jobs: Vec<BatchJob> = (0..BATCH).map(job).collect();
    let name = Personal::Clear(None);
    let spec = BatchSpec { name, max_parallel: 20, callback: None, jobs: jobs.clone() };
    let id = BatchId::from_uuid(Uuid::now_v7()).to_string();
    let subject = subject::aggregate(Batch::CATEGORY, "acme", &id);
    let mut log = commands.log().follow(commands.log().last_sequence().await.unwrap() + 1);
    let start = Instant::now();
    let command = BatchCommand::Submit { spec: Box::new(spec) };
    commands.handle::<Batch>("acme", &id, &Caller::process("bench"), command).await.unwrap();
    let answered = start.elapsed();
    stream::iter(jobs)
        .map(|job| async move { submit(commands, &job.id.to_string()).await })
        .buffer_unordered(SLOTS)
        .for_each(|()| async {})
        .await;
    // Submitted and ended.
    for _ in 0..2 {
        while log.next().await.subject != subject {}
    }
    println!(
        "batch of {BATCH} no-op jobs, 20 at once|{:.0} jobs/s (in the log after {:.1} ms)|",
        1_000.0 / start.elapsed().as_secs_f64(),
        answered.as_secs_f64() * 1000.0,
    );
}

/// A slot whose media task is nothing.
async fn slot(commands: Arc<Commands>) {
    let mut puller = Work::new(commands.log().nats().clone()).puller("cpu");
    loop {
        let task: Task = puller.next().await;
        let Release { job, attempt, .. } = serde_json::from_slice(task.payload()).unwrap();
        let (id, worker, pool) = (job.to_string(), "bench".to_owned(), "cpu".to_owned());
        let start = JobCommand::StartAttempt { attempt, worker, pool, device: None, waited: None };
        tell(&commands, &id, start).await;
        tell(
            &commands,
            &id,
            JobCommand::SealOutputs {
                attempt,
                outputs: vec![],
                result: None,
                spent: None,
                plan: None,
            },
        )
        .await;
        tell(&commands, &id, JobCommand::Complete { attempt }).await;
        task.done().await.unwrap();
    }
}

async fn be_present(live: PubSub) {
    let presence = WorkerHeartbeat {
        worker: "bench".to_owned(),
        host: String::new(),
        pools: [(Pool::Cpu, SLOTS)].into(),
        running: vec![],
        capabilities: Capabilities::everything(),
        sandbox: String::new(),
        leaving: false,
        buried: vec![],
    };
    let body = serde_json::to_vec(&presence).unwrap();
    loop {
        live.publish(subject::worker_presence("bench"), body.clone()).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

fn follow<P: Projection + 'static>(database: &Database, commands: &Commands, projection: P) {
    let (log, codec) = (commands.log().clone(), commands.codec().clone());
    let runner = Runner::new(database.clone(), log, codec, projection);
    tokio::spawn(async move { runner.run(&CancellationToken::new()).await.unwrap() });
}

/// Submit answered to `AttemptStarted` read from the log, one at a time: both on disk.
async fn dispatch(commands: &Commands) {
    let mut log = commands.log().follow(commands.log().last_sequence().await.unwrap() + 1);
    let mut waits = Vec::new();
    for _ in 0..SINGLE {
        let id = JobId::from_uuid(Uuid::now_v7()).to_string();
        submit(commands, &id).await;
        let answered = Instant::now();
        let subject = subject::aggregate(Job::CATEGORY, "acme", &id);
        let mut seen = 0;
        // Submitted, started, sealed, completed: the idle fleet is idle again after the last.
        while seen < 4 {
            if log.next().await.subject == subject {
                seen += 1;
                if seen == 2 {
                    waits.push(answered.elapsed());
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    waits.sort();
    let percent = |n: usize| waits.get(waits.len() * n / 100).unwrap().as_secs_f64() * 1000.0;
    println!(
        "dispatch, idle fleet, fsynced|p50 {:.1} ms, p99 {:.1} ms|p50 <= 5 ms, p99 <= 20 ms",
        percent(50),
        percent(99)
    );
}

/// Records metrics until what is returned is dropped, if the bench is run for that.
fn recorded() -> Option<SdkMeterProvider> {
    std::env::var_os("FFAPI_BENCH_METRICS")?;
    let exporter = opentelemetry_prometheus::exporter().build().unwrap();
    let provider = SdkMeterProvider::builder().with_reader(exporter).build();
    opentelemetry::global::set_meter_provider(provider.clone());
    Some(provider)
}

/// Processor time of this process so far, without its servers, in microseconds.
fn cpu_micros() -> u32 {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    u32::try_from(micros).unwrap()
}

#[tokio::main]
async fn main() {
    let _metrics = recorded();
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
    follow(&database, &commands, JobDetail);
    follow(&database, &commands, JobList);
    follow(&database, &commands, Queue);
    follow(&database, &commands, Archive);
    let concurrent_jobs = u32::try_from(SLOTS).unwrap() + 1;
    let free = Limits { concurrent_jobs, ..Limits::default() };
    let tiers = Tiers { free, ..Tiers::default() };
    let conductor = Conductor::new(Arc::clone(&commands), tiers, &SchedulingConfig::default());
    tokio::spawn(async move { conductor.run(&CancellationToken::new()).await.unwrap() });
    tokio::spawn(be_present(PubSub::new(nats)));
    for _ in 0..SLOTS {
        tokio::spawn(slot(Arc::clone(&commands)));
    }
    dispatch(&commands).await;
    batch(&commands).await;

    let before = commands.log().last_sequence().await.unwrap();
    let (start, cpu) = (Instant::now(), cpu_micros());
    let submitting = stream::iter(0..JOBS).map(|_| {
        let commands = Arc::clone(&commands);
        async move { submit(&commands, &JobId::from_uuid(Uuid::now_v7()).to_string()).await }
    });
    submitting.buffer_unordered(SLOTS).for_each(|()| async {}).await;
    let submitted = start.elapsed();
    let acme: Tenant = "acme".parse().unwrap();
    // Projected: none waits and none runs, and the log says nothing that is not read.
    loop {
        let last = commands.log().last_sequence().await.unwrap();
        let all = ffapi_projections::positions(&database).await.unwrap();
        let depth = queue::depth(&database, &acme).await.unwrap();
        let open = depth.processing + depth.queued.values().sum::<u64>();
        if open == 0 && all.iter().all(|model| model.position >= last) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let elapsed = start.elapsed();
    let cpu = f64::from(cpu_micros() - cpu) / f64::from(JOBS);
    println!("processor time of a no-op job|{cpu:.1} us|metrics take <= 2 %");
    let messages = commands.log().last_sequence().await.unwrap() - before;
    println!(
        "no-op job cycle, {SLOTS} slots|{:.0} jobs/s ({:.1} messages a job; all submitted after {:.1} s of {:.1} s)|>= 8x Celery",
        f64::from(JOBS) / elapsed.as_secs_f64(),
        f64::from(u32::try_from(messages).unwrap()) / f64::from(JOBS),
        submitted.as_secs_f64(),
        elapsed.as_secs_f64(),
    );
}
