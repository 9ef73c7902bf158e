//! Durable append compared with the bare client publishing the same bytes, in alternating rounds.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints its results, and fails by panicking"
)]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use ffapi_embedded::{NatsServer, temporary_folder};
use ffapi_nats::{AppendRequest, Log, Nats, NatsConfig, topology};
use uuid::Uuid;

/// Payload size in bytes: about that of a job submission.
const PAYLOAD_BYTES: usize = 600;
/// How long each round runs.
const ROUND_DURATION: Duration = Duration::from_secs(2);

/// Appends per second of `writers` concurrent tasks, each with one append in flight.
async fn rate<F: Future<Output = ()> + Send>(
    writers: u32,
    append: impl Fn() -> F + Send + Sync + 'static,
) -> f64 {
    let append = Arc::new(append);
    let start = Instant::now();
    let tasks: Vec<_> = (0..writers)
        .map(|_| {
            let append = Arc::clone(&append);
            tokio::spawn(async move {
                let mut done = 0_u32;
                while start.elapsed() < ROUND_DURATION {
                    append().await;
                    done += 1;
                }
                done
            })
        })
        .collect();
    let mut done = 0;
    for task in tasks {
        done += task.await.unwrap();
    }
    f64::from(done) / start.elapsed().as_secs_f64()
}

fn subject() -> String {
    format!("ev.job.acme.job_{}", Uuid::now_v7().simple())
}

/// The median of three values.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.into_iter().nth(1).unwrap()
}

#[tokio::main]
async fn main() {
    let folder = temporary_folder().unwrap();
    let server = NatsServer::start(folder.path()).unwrap();
    let nats = Nats::connect(&NatsConfig { url: server.url() }).await.unwrap();
    topology::apply(&nats).await.unwrap();
    let log = Log::open(nats).await.unwrap();
    let client = async_nats::connect(server.url()).await.unwrap();
    let raw = async_nats::jetstream::new(client);
    for (writers, target) in [(1, "<= 1.2x one raw publish"), (64, ">= 2.5"), (256, ">= 5")] {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            let log = log.clone();
            ours.push(
                rate(writers, move || {
                    let log = log.clone();
                    async move {
                        let request = AppendRequest {
                            subject: subject(),
                            expected: 0,
                            command_id: Uuid::now_v7(),
                            payload: Bytes::from(vec![7; PAYLOAD_BYTES]),
                        };
                        log.append(request).await.unwrap();
                    }
                })
                .await,
            );
            let raw = raw.clone();
            theirs.push(
                rate(writers, move || {
                    let raw = raw.clone();
                    async move {
                        let payload = Bytes::from(vec![7; PAYLOAD_BYTES]);
                        raw.publish(subject(), payload).await.unwrap().await.unwrap();
                    }
                })
                .await,
            );
        }
        let (ours, theirs) = (median(ours), median(theirs));
        let ratio = if writers == 1 { theirs / ours } else { ours / theirs };
        println!(
            "durable append, {writers} writers / raw client|{ratio:.2} ({ours:.0}/s / {theirs:.0}/s, {:.2} ms each)|{target}",
            f64::from(writers) * 1000.0 / ours,
        );
    }
}
